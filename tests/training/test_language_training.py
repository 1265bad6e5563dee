"""Every recipe for text trains, and resumes to the same bits; other text and tasks are refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from spikedrive.data.text import read_texts
from spikedrive.errors import ConfigError, DataError, ShapeError
from spikedrive.recipes import RECIPES, get_recipe
from spikedrive.tasks import lm
from spikedrive.training import Recipe, train
from spikedrive.training.prepare import prepare_text

TEXTS = [name for name in RECIPES.names() if get_recipe(name).task["name"] == "lm"]


class StopHereError(Exception):
    """What the test's callback throws."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A text for each split."""
    for split, text in (("train", "to be, or not " * 9), ("val", "that is the question " * 4)):
        (tmp_path / "texts" / split).mkdir(parents=True)
        (tmp_path / "texts" / split / "a.txt").write_text(text)
    return tmp_path / "texts"


def tiny(name: str, folder: Path) -> Recipe:
    """Two epochs of two steps."""
    recipe = get_recipe(name)
    return recipe.replace(
        data=str(folder), task={**recipe.task, "context": 8, "steps": 2}, epochs=2, batch_size=4, threads=1,
        model_args={"width": 16, "depth": 2}, device="cpu", save_minutes=1e-9,
    )  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_two_steps_then_a_resumed_run_equals_an_unbroken_one(name: str, folder: Path, tmp_path: Path) -> None:
    recipe = tiny(name, folder)

    def stop(line: dict[str, Any]) -> None:
        if line["kind"] == "step" and line["step"] == 3:
            raise StopHereError

    whole = train(recipe, tmp_path / "whole", progress=False)
    metrics = whole.metrics
    assert (metrics["steps"], metrics["train_tokens"], metrics["val_tokens"]) == (4, 14 * 9 + 1, 21 * 4 + 1)
    assert math.isclose(metrics["val_bits_per_byte"], metrics["val_loss"] / math.log(2) * 85 / 84)
    with pytest.raises(StopHereError):
        train(recipe, tmp_path / "stopped", progress=False, callback=stop)
    train(recipe, tmp_path / "stopped", progress=False)
    for file in ("best", "last"):
        a, b = (
            load_file(tmp_path / run / "checkpoints" / f"{file}.safetensors") for run in ("whole", "stopped")
        )
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    assert whole.load().metadata["tokenizer"] == "bytes"


def test_the_recipes_texts_are_divided_by_play() -> None:
    parts = [set(read_texts("shakespeare", split).values()) for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [33, 2, 2]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"model": "meta_spikeformer_nano"},
            ConfigError,
            "'lm' got meta_spikeformer_nano, which takes images; it",
        ),
        ({"label_smoothing": 0.1}, ConfigError, "'lm' got label_smoothing; it takes task.context"),
        ({"task": {"name": "lm", "contxt": 8}}, ConfigError, "got task.contxt; it takes task.context"),
        ({"data": "nowhere"}, DataError, "nowhere does not exist; accepted are the names shakespeare"),
    ],
)
def test_what_the_task_does_not_take_is_refused(changes, error, message, folder) -> None:
    with pytest.raises(error, match=message):
        prepare_text(tiny("shakespeare.spikegpt_6m", folder).replace(**changes))


def test_a_text_shorter_than_a_crop_is_refused(folder, tmp_path) -> None:
    recipe = tiny("shakespeare.spikegpt_6m", folder)
    with pytest.raises(
        DataError, match=r"are 127 tokens, and a crop takes 201; the text must be longer. Add text"
    ):
        train(recipe.replace(task={**recipe.task, "context": 200}), tmp_path / "run", progress=False)


def test_the_pull_on_logits_changes_gradients_alone() -> None:
    logits, targets = torch.randn(3, 2, 5, dtype=torch.float64, requires_grad=True), torch.ones(3, 2).long()
    values, grads = [], []
    for wrap in (0.0, 1e-2):
        value = lm.loss(logits, targets, wrap=wrap)
        values.append(value.item())
        grads.append(torch.autograd.grad(value, logits)[0])
    assert math.isclose(*values)
    top = logits.detach() == logits.detach().amax(-1, keepdim=True)
    torch.testing.assert_close(grads[1] - grads[0], top * logits.detach() * 1e-2 / 6)
    with pytest.raises(
        ShapeError, match=r"shape \(3, 2, 5\) for targets \(2, 2\); it takes .* Shift the ids"
    ):
        lm.loss(logits, targets[1:])
