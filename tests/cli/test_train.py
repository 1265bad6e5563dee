"""Training a user's own folder from the command line, and asking the result."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.conftest import TINY, Command
from spikedrive.cli.target import BEST
from spikedrive.cli.train import resolve
from spikedrive.models import load_model


def test_a_run_from_a_folder_without_a_recipe_file(trained: Path) -> None:
    recipe = json.loads((trained / "recipe.json").read_text())
    assert (recipe["model"], recipe["epochs"], recipe["batch_size"]) == ("meta_spikeformer_nano", 1, 8)
    assert load_model(trained / "checkpoints" / "best.safetensors").metadata["class_names"] == [
        "dark",
        "light",
    ]


def test_eval_measures_the_split_that_was_asked_for(
    command: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    answer = json.loads(command("eval", trained, "--data", pictures, "--split", "test", "--json").out)
    assert answer["images"] == 8
    assert 0 <= answer["accuracy"] <= 1
    assert "on 8 images" in command("eval", trained, "--data", pictures).out
    shutil.copytree(pictures / "test" / "dark", tmp_path / "val" / "dark")
    shutil.copytree(pictures / "test" / "light", tmp_path / "val" / "light")
    assert "on 8 images" in command("eval", trained, "--data", tmp_path, "--split", "val").out


def test_predict_answers_with_names_and_scores(command: Command, trained: Path, pictures: Path) -> None:
    files = sorted((pictures / "test" / "dark").glob("*.png"))[:2]
    answers = json.loads(command("predict", trained, *files, "--json").out)
    assert [a["image"] for a in answers] == [str(f) for f in files]
    for answer in answers:
        assert sorted(answer["names"]) == ["dark", "light"]
        assert answer["scores"] == sorted(answer["scores"], reverse=True)
        assert sum(answer["scores"]) == pytest.approx(1, abs=1e-3)
    assert command("predict", trained, files[0], "--top", 1).out.splitlines()[0].split() == [
        "image",
        "name",
        "score",
    ]


def test_weights_start_from_a_run_with_a_new_head(
    command: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data" / "train"
    data.mkdir(parents=True)
    for name in ("dark", "light", "other"):
        os.symlink(pictures / "train" / ("light" if name == "other" else name), data / name)
    words = [*TINY, "epochs=1", "--data", data.parent, "--weights", trained]
    answer = command("train", *words, "--out", tmp_path / "run")
    assert answer.code == 0
    assert load_model(tmp_path / "run" / "checkpoints" / "best.safetensors").classes == 3
    assert "head" in answer.err


def test_a_teacher_is_named_as_weights_are(command: Command, trained: Path) -> None:
    for teacher, file in ((trained, trained / BEST), (trained / BEST, trained / BEST)):
        assert resolve("fashion_mnist_mini", [f"teacher={teacher}"], data=None, weights=None).teacher == str(
            file
        )
    shipped = resolve(
        "fashion_mnist_mini", ["teacher=sew_resnet_nano.fashion"], data=None, weights=None
    ).teacher
    assert shipped is not None and shipped.endswith("sew_resnet_nano.fashion.safetensors")
    answer = command("train", "fashion_mnist_mini", "teacher=nobody")
    assert answer.code == 2
    assert answer.err.startswith("error: There is no file or folder nobody")


def test_a_finished_run_is_not_trained_again(command: Command, trained: Path, pictures: Path) -> None:
    best = trained / "checkpoints" / "best.safetensors"
    before = best.stat().st_mtime_ns
    words = [*TINY, "epochs=1", "--data", pictures, "--out", trained]
    assert command("train", *words).code == 0
    assert best.stat().st_mtime_ns == before


def test_recipes_take_overrides_and_another_folder() -> None:
    recipe = resolve("fashion_mnist_mini", ["lr=0.5", "epochs=3"], data="elsewhere", weights=None)
    assert (recipe.lr, recipe.epochs, recipe.data) == (0.5, 3, "elsewhere")


def test_ctrl_c_leaves_a_run_that_goes_on(command: Command, pictures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["train", *TINY, "epochs=4", "--data", str(pictures), "--out", str(run)]
    process = subprocess.Popen(
        [sys.executable, "-m", "spikedrive", *words], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not (run / "checkpoints" / "state.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"interrupted; the same command goes on from the last checkpoint in {run}" in err
    assert "Traceback" not in err
    assert not (run / "metrics.json").exists()
    assert command(*words).code == 0
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if line["kind"] == "epoch"] == [1, 2, 3, 4]
