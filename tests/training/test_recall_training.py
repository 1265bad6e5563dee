"""Models learn to recall: runs resume to the same bits, and are judged as `spikedrive eval` judges them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from spikedrive.errors import ConfigError, DataError
from spikedrive.recipes import recall
from spikedrive.tasks import answers
from spikedrive.tasks.answers import UNASKED
from spikedrive.training import Recipe, train
from spikedrive.training.prepare import RecallBatches, prepare_recall

TASKS: dict[str, dict[str, Any]] = {
    "mqar": {"name": "mqar", "length": 16, "pairs": 4, "samples": 9, "steps": 2},
    "passkey": {"name": "passkey", "length": 140, "digits": 2, "samples": 5, "steps": 2},
}
tasks = pytest.mark.parametrize("task", TASKS)


class StopHereError(Exception):
    """What the test's callback throws."""


def tiny(task: str) -> Recipe:
    """Two epochs of two steps."""
    shape = {"width": 16, "depth": 1, "mixer": {"name": "select_merge", "rope": "crd_ntk", "trained": 16}}
    return recall("spiking_lm", task).replace(  # type: ignore[arg-type]
        task=TASKS[task], model_args=shape | ({"vocabulary": 20} if task == "mqar" else {}), epochs=2, batch_size=4,
        threads=1, device="cpu", save_minutes=1e-9,
    )  # fmt: skip


@tasks
def test_a_resumed_run_equals_an_unbroken_one(task: str, tmp_path: Path) -> None:
    def stop(line: dict[str, Any]) -> None:
        if line["kind"] == "step" and line["step"] == 3:
            raise StopHereError

    whole = train(tiny(task), tmp_path / "whole", progress=False)
    assert whole.metrics["steps"] == 4 and whole.metrics["val_texts"] == TASKS[task]["samples"]
    with pytest.raises(StopHereError):
        train(tiny(task), tmp_path / "stopped", progress=False, callback=stop)
    again = train(tiny(task), tmp_path / "stopped", progress=False)
    a, b = (load_file(tmp_path / run / "checkpoints" / "last.safetensors") for run in ("whole", "stopped"))
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    assert again.metrics["val_accuracy"] == whole.metrics["val_accuracy"]


@tasks
def test_every_step_asks_anew_and_alike_for_a_seed(task: str) -> None:
    recipe, cpu = tiny(task), torch.device("cpu")
    recall_ = prepare_recall(recipe)
    first, second = (list(RecallBatches(recipe, recall_, device=cpu).epoch(0)) for _ in range(2))
    assert len(first) == 2 and first[0][0].x.shape == (TASKS[task]["length"], 4)
    assert all(torch.equal(a[0].x, b[0].x) for a, b in zip(first, second, strict=True))
    later = next(RecallBatches(recipe, recall_, device=cpu).epoch(1))
    other = next(RecallBatches(recipe.replace(seed=1), recall_, device=cpu).epoch(0))
    assert not any(torch.equal(first[0][0].x, part[0].x) for part in (first[1], later, other))
    # two processes with two parts each share one batch
    split = recipe.replace(accumulate=2)
    parts = [
        p for r in (0, 1) for p in next(RecallBatches(split, recall_, device=cpu, rank=r, world=2).epoch(0))
    ]
    assert torch.equal(torch.cat([part.x for part in parts], 1), first[0][0].x)


def test_the_loss_is_that_of_answers_alone() -> None:
    logits, targets = torch.randn(6, 3, 5, dtype=torch.float64), torch.full((6, 3), UNASKED)
    targets[2, 0], targets[5, 1] = 4, 1
    wanted = -(logits[2, 0].log_softmax(0)[4] + logits[5, 1].log_softmax(0)[1]) / 2
    torch.testing.assert_close(answers.loss(logits, targets), wanted)


@pytest.mark.slow
def test_exact_attention_learns_to_recall(tmp_path: Path) -> None:
    mixer = {"name": "attention", "rope": "plain", "heads": 2}
    recipe = tiny("mqar").replace(
        task={"name": "mqar", "length": 8, "pairs": 2, "samples": 200, "steps": 300}, batch_size=32, lr=5e-3,
        model_args={"width": 32, "depth": 2, "vocabulary": 16, "mixer": mixer},
    )  # fmt: skip
    run = train(recipe, tmp_path / "run", progress=False)
    assert run.metrics["val_accuracy"] > 0.8 > 0.5 == run.metrics["chance"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": "meta_spikeformer_nano", "model_args": {}}, ConfigError, "'mqar' got meta_spikeformer_nano, which"),
        ({"data": "shakespeare"}, ConfigError, "got data=shakespeare; it makes its texts itself.* Leave data out"),
        ({"task": {"name": "mqar", "digits": 3}}, ConfigError, "got task.digits; it takes task.length, task.pairs"),
        ({"task": {"name": "mqar", "pairs": 0}}, ConfigError, "'task.pairs' got 0; it takes a whole number of at"),
        ({"task": {"name": "mqar", "pairs": 11}}, ConfigError, "takes at most 10. Ask for fewer pairs"),
        ({"label_smoothing": 0.1}, ConfigError, "'mqar' got label_smoothing; it takes task.length"),
        (
            {"task": {"name": "passkey", "tokenizer": 7}, "data": "passkey"},
            ConfigError,
            "'task.tokenizer' got 7; it takes 'bytes' or a path",
        ),
        ({"task": {"name": "passkey", "length": 9}, "data": "passkey"}, DataError, "at least 121, for the question"),
    ],
)  # fmt: skip
def test_what_the_task_does_not_take_is_refused(changes: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        prepare_recall(tiny("mqar").replace(**changes))


def test_an_uneven_batch_is_refused() -> None:
    recipe = tiny("mqar").replace(accumulate=3)
    with pytest.raises(ConfigError, match="batch_size=4 on 1 processes x accumulate=3 comes out unevenly"):
        RecallBatches(recipe, prepare_recall(recipe), device=torch.device("cpu"))
