"""The whole life of a model, on a few pictures in place of the bundled images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cli.conftest import TINY, Command
from spikedrive.auditing import Audit
from spikedrive.cli import demo, stages
from spikedrive.recipes import RECIPES, image_folder

ARTIFACTS = (
    "recipe.json", "environment.json", "log.jsonl", "metrics.json", "checkpoints/best.safetensors",
    "audit_trained.json", "audit.json", "program.sdx", "verify.json", "predictions.npz", "activity.npz",
    "report.html", "demo.json",
)  # fmt: skip


def few_pictures(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the demo's recipe train on the pictures."""
    small = image_folder(TINY[0], pictures).override([*TINY[1:], "epochs=1"])
    monkeypatch.setitem(RECIPES._items, demo.RECIPE, lambda: small)


def test_every_stage_leaves_its_file_and_the_figures_agree(
    command: Command, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_pictures(pictures, monkeypatch)
    out = tmp_path / "demo"
    answer = command("demo", "--out", out, "--seed", 3, "--json")
    assert answer.code == 0, answer.err
    summary = json.loads(answer.out)
    assert [name for name in ARTIFACTS if not (out / name).is_file()] == []
    assert summary["seed"] == json.loads((out / "recipe.json").read_text())["seed"] == 3
    assert summary["verdict"] == Audit.load(out / "audit.json").verdict == "additive"
    assert len(summary["analog"]) == 1
    verified = json.loads((out / "verify.json").read_text())
    assert summary["unequal"] == verified["unequal"] == 0
    assert summary["images"] == verified["images"] == 8
    predictions = np.load(out / "predictions.npz")
    right = (predictions["labels"] == predictions["predictions"]).mean()
    assert summary["accuracy_program"] == pytest.approx(right)

    # a finished demo is shown, not run again
    written = (out / "audit.json").stat().st_mtime_ns
    again = command("demo", "--out", out)
    assert again.code == 0
    assert "holds a finished demo" in again.err
    assert "integers unlike the fp64 twin's  0 of" in again.out
    assert (out / "audit.json").stat().st_mtime_ns == written


def test_an_interrupted_demo_goes_on(
    command: Command, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_pictures(pictures, monkeypatch)
    monkeypatch.setattr(stages, "audit_both", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    out = tmp_path / "demo"
    answer = command("demo", "--out", out)
    assert answer.code == 130
    assert f"interrupted; the same command goes on from the last checkpoint in {out}" in answer.err
    assert not (out / "demo.json").exists()
    assert (out / "checkpoints" / "best.safetensors").is_file()


@pytest.mark.parametrize(
    ("verdict", "equal", "code"), [("additive", True, 0), ("hybrid", True, 1), ("additive", False, 1)]
)
def test_a_negative_answer_is_exit_code_1(
    command: Command, tmp_path: Path, verdict: str, equal: bool, code: int
) -> None:
    summary = dict.fromkeys(
        ("accuracy_fp32", "accuracy_program", "points_lost", "agreement", "joules", "dense_joules"), 0.5
    )
    summary |= {"model": "m", "report": "r", "images": 1, "integers": 1, "unequal": 0, "parameters": 1}
    summary |= {"verdict": verdict, "equal": equal, "analog": ["stem"], "seconds": {"all": 1.0}}
    (tmp_path / "demo.json").write_text(json.dumps(summary))
    assert command("demo", "--out", tmp_path).code == code


def test_fresh_starts_anew(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.json").write_text("{}")
    (run / "demo.json").write_text("{}")
    demo.clear(run)
    assert not run.exists()
    demo.clear(run)
