"""`train`, `eval` and `predict` of a classifier of texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spikedrive.cli.app import app

TINY = ["width", "depth", "heads", "hidden"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Texts, and a run that learned from them."""
    root = tmp_path_factory.mktemp("texts")
    for split in ("train", "val", "test"):
        rows = "".join(
            f"{'aaaa' if i % 2 else 'zzzz'} {split} {i},{'odd' if i % 2 else 'even'}\n" for i in range(16)
        )
        (root / "data").mkdir(exist_ok=True)
        (root / "data" / f"{split}.csv").write_text(f"text,label\n{rows}")
    sizes = [f"model_args.{key}={value}" for key, value in zip(TINY, (16, 1, 2, 16), strict=True)]
    words = ["train", "spikelm_23m", *sizes, "model_args.steps=2", "model_args.context=32", "task.context=24"]
    words += ["batch_size=8", "epochs=12", "lr=3e-3", "device=cpu", "threads=1"]
    done = CliRunner().invoke(app, [*words, "--data", str(root / "data"), "--out", str(root / "run")])
    assert done.exit_code == 0, done.output
    assert f"spikedrive predict {root / 'run'} TEXT" in done.output
    return root / "data", root / "run"


def test_eval_tells_accuracy(folders: tuple[Path, Path]) -> None:
    data, run = folders
    done = CliRunner().invoke(app, ["eval", str(run), "--data", str(data), "--json"])
    found = json.loads(done.stdout)
    assert (found["task"], found["accuracy"], found["texts"], found["split"]) == ("accuracy", 1.0, 16, "test")
    refused = CliRunner().invoke(app, ["eval", str(run), "--data", str(data), "--task", "perplexity"])
    assert refused.exit_code != 0


def test_predict_names_the_class_of_texts_and_of_text_files(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    _, run = folders
    (tmp_path / "a.txt").write_text("zzzz test 4")
    done = CliRunner().invoke(app, ["predict", str(run), "aaaa test 3", str(tmp_path / "a.txt"), "--json"])
    answers = json.loads(done.stdout)
    assert [answer["names"][0] for answer in answers] == ["odd", "even"]
    missing = CliRunner().invoke(app, ["predict", str(run), str(tmp_path / "b.txt")])
    assert missing.exit_code != 0 and "a text file in UTF-8, or the text itself" in str(missing.output) + str(
        missing.exception
    )


def test_texts_of_other_classes_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    _, run = folders
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text("text,label\na,b\nc,d\n")
    done = CliRunner().invoke(app, ["eval", str(run), "--data", str(tmp_path)])
    said = str(done.output) + str(done.exception)
    assert done.exit_code != 0 and "has the classes b, d, and the model learned even, odd" in said
