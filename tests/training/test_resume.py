"""A killed run, gone on with, ends like one that was not: to the bit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from spikedrive.training import Recipe, checkpoint, train

WORKER = Path(__file__).with_name("train_worker.py")


def assert_same_run(one: Path, other: Path) -> None:
    """Weights, optimizer, averages and the figures of the log are equal, bit for bit."""
    for name in ("best", "last"):
        a, b = (load_file(run / "checkpoints" / f"{name}.safetensors") for run in (one, other))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a), name
    states = [checkpoint.load_state(run / "checkpoints" / "state.pt") for run in (one, other)]
    for part in ("model", "optimizer", "average"):
        assert_equal(states[0][part], states[1][part])
    logs = [
        [epoch_figures(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in (one, other)
    ]
    assert logs[0] == logs[1]


def assert_equal(a: Any, b: Any) -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        for left, right in zip(a, b, strict=True):
            assert_equal(left, right)
    else:
        assert a == b


def epoch_figures(line: str) -> dict[str, Any]:
    record = json.loads(line)
    return {key: value for key, value in record.items() if key not in ("seconds", "samples_per_s")}


def run_worker(recipe: Recipe, folder: Path, mode: str = "") -> int:
    file = folder.with_suffix(".json")
    file.write_text(json.dumps(recipe.to_dict()))
    command = [sys.executable, str(WORKER), str(file), str(folder), *([mode] if mode else [])]
    return subprocess.run(command, timeout=120).returncode


def test_a_killed_run_ends_with_the_same_bits(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    # a checkpoint at every line of the log, which is every second step of 8 in an epoch
    recipe = tiny(
        batch_size=4, save_minutes=1e-9, mix={"Mixup": {}, "CutMix": {}}, label_smoothing=0.1, clip=1.0, accumulate=2,
        model_args={**tiny().model_args, "drop_path": 0.2},
    )  # fmt: skip
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    train(recipe, unbroken, progress=False)
    # checkpoints after steps 2, 4, 6, 8, 10: dies in the middle of writing the sixth, inside the second epoch
    assert run_worker(recipe, killed, "kill_while_saving=6") == -signal.SIGKILL
    assert checkpoint.load_state(killed / "checkpoints" / "state.pt")["place"]["step"] == 10
    train(recipe, killed, progress=False)
    assert_same_run(unbroken, killed)
    assert not list(killed.rglob("*.tmp"))


class StopHereError(Exception):
    """What the test's callback throws."""


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        (1, {"optimizer": "lamb"}),
        (6, {"ema": 0.0}),
        (3, {"precision": "bf16-mixed"}),
    ],
)
def test_a_run_stopped_anywhere_ends_with_the_same_bits(
    step: int, changes: dict[str, Any], tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    def stop(line: dict[str, Any]) -> None:
        if line["kind"] == "step" and line["step"] == step:
            raise StopHereError

    recipe = tiny(save_minutes=1e-9, **changes)
    train(recipe, tmp_path / "unbroken", progress=False)
    with pytest.raises(StopHereError):
        train(recipe, tmp_path / "stopped", progress=False, callback=stop)
    train(recipe, tmp_path / "stopped", progress=False)
    assert_same_run(tmp_path / "unbroken", tmp_path / "stopped")


def test_ctrl_c_leaves_a_checkpoint_to_go_on_from(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    train(tiny(), tmp_path / "unbroken", progress=False)
    with pytest.raises(KeyboardInterrupt, match="Stopped in epoch 2 after step 2; the same command goes on"):
        train(tiny(), tmp_path / "stopped", progress=False, callback=raising(signal.SIGINT, 5))
    assert checkpoint.load_state(tmp_path / "stopped" / "checkpoints" / "state.pt")["place"]["step"] == 6
    train(tiny(), tmp_path / "stopped", progress=False)
    assert_same_run(tmp_path / "unbroken", tmp_path / "stopped")


@pytest.mark.parametrize("step", [1, 4])
def test_a_scheduler_may_stop_a_run(step: int, tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        train(tiny(epochs=1), tmp_path / "run", progress=False, callback=raising(signal.SIGTERM, step))
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    # asked for after the last step, the run is finished first
    assert (tmp_path / "run" / "metrics.json").exists() == (step == 4)


def raising(number: signal.Signals, step: int) -> Callable[[dict[str, Any]], None]:
    """A callback that raises a signal after one step."""

    def ask(line: dict[str, Any]) -> None:
        if line["kind"] == "step" and line["step"] == step:
            signal.raise_signal(number)

    return ask
