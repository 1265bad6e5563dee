"""A model learns to recall from the command line, and is asked as it learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Command
from spikedrive.recipes import recall
from spikedrive.training import train

TASKS: dict[str, dict[str, Any]] = {
    "mqar": {"name": "mqar", "length": 16, "pairs": 4, "samples": 9, "steps": 2},
    "passkey": {"name": "passkey", "length": 140, "digits": 2, "samples": 9, "steps": 2},
}


@pytest.mark.parametrize("task", TASKS)
def test_eval_finds_what_the_run_found(task: str, tmp_path: Path, command: Command) -> None:
    recipe = recall("spiking_lm", task).replace(  # type: ignore[arg-type]
        task=TASKS[task],
        model_args={"width": 16, "depth": 1},
        epochs=2,
        batch_size=4,
        threads=1,
        device="cpu",
    )
    run = train(recipe, tmp_path / "run", progress=False)
    found = json.loads(
        command("eval", tmp_path / "run", "--json", "--seed", 1, "--samples", TASKS[task]["samples"]).out
    )
    assert found["task"] == task and found["length"] == TASKS[task]["length"]
    assert found["accuracy"] == pytest.approx(run.metrics["val_accuracy"], abs=1e-12)
    assert found["loss"] == pytest.approx(run.metrics["val_loss"], rel=1e-5)
    assert found["chance"] == run.metrics["chance"]
    other = json.loads(command("eval", tmp_path / "run", "--json").out)
    assert (other["seed"], other["samples"]) == (0, 100)


def test_the_command_line_needs_no_data(command: Command, tmp_path: Path) -> None:
    words = (
        "model_args.width=16",
        "model_args.depth=1",
        "epochs=1",
        "batch_size=2",
        "task.steps=1",
        "task.length=32",
    )
    answer = command("train", "spiking_lm", "--task", "mqar", *words, "--out", tmp_path / "run")
    assert answer.code == 0 and f"spikedrive eval {tmp_path / 'run'} --task mqar" in answer.out
    assert (
        "values recalled, by chance 12.50% (8 pairs in 32 tokens, 100 texts)"
        in command("eval", tmp_path / "run").out
    )
    answer = command(
        "train", "spiking_lm", "--task", "mqar", "--data", "shakespeare", "--out", tmp_path / "other"
    )
    assert answer.code == 2 and "Leave data out" in answer.err
