"""Optical flow trains, resumes to the same bits, is judged, and refuses what is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from spikedrive.cli.app import main
from spikedrive.data.events.simulated import load_flow, moving_textures
from spikedrive.errors import ConfigError, UnknownNameError
from spikedrive.recipes import event_clips, event_flow
from spikedrive.training import Recipe, evaluate_flow, train
from spikedrive.training.prepare.flow import FlowPart


class StopHereError(Exception):
    """What the test's callback throws."""


def small(**changes: Any) -> Recipe:
    fields = {
        "epochs": 2, "batch_size": 4, "val_fraction": 0.2, "model_args": {"widths": [4, 8], "cell": "lstm"},
        "task": {"name": "flow", "size": 16, "clips": 20}, **changes,
    }  # fmt: skip
    return event_flow("event_flow_nano").replace(**fields)


def test_a_run_learns_and_a_resumed_one_equals_it(tmp_path: Path) -> None:
    def stop(line: dict[str, Any]) -> None:
        if line["kind"] == "epoch" and line["epoch"] == 3:
            raise StopHereError

    recipe = small(epochs=12)
    whole = train(recipe, tmp_path / "whole", progress=False)
    assert (whole.metrics["train_clips"], whole.metrics["val_clips"]) == (16, 4)
    assert whole.metrics["val_aee"] == whole.metrics["val_loss"]
    with pytest.raises(StopHereError):
        train(recipe, tmp_path / "stopped", progress=False, callback=stop)
    train(recipe, tmp_path / "stopped", progress=False)
    a, b = (load_file(tmp_path / run / "checkpoints" / "last.safetensors") for run in ("whole", "stopped"))
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    clips = load_flow("moving_textures", "test", clips=8, size=16)
    found = evaluate_flow(whole.load(), FlowPart(clips, tuple(range(8))), batch_size=3)
    # what it learned is nearer than that nothing moves
    assert found["aee"] < 0.9 * found["still"]
    assert found["clips"] == 8


def test_shares_of_the_judges_add_up(tmp_path: Path) -> None:
    model = train(small(epochs=1), tmp_path / "run", progress=False).load()
    clips = FlowPart(load_flow("moving_textures", "test", clips=5, size=16), tuple(range(5)))
    whole = evaluate_flow(model, clips, batch_size=2)
    parts = [evaluate_flow(model, clips, batch_size=2, rank=r, world=2) for r in range(2)]
    assert [part["clips"] for part in parts] == [3, 2]
    assert whole["places"] == sum(part["places"] for part in parts)
    total = sum(part["aee"] * part["places"] for part in parts)
    assert whole["aee"] == pytest.approx(total / whole["places"])


def test_the_truth_is_read_beside_its_events() -> None:
    whole = load_flow("moving_textures", "test", clips=4, size=16)
    x, truth = FlowPart(whole, (2, 0)).read([0, 1])
    assert (tuple(x.shape), tuple(truth.shape)) == ((16, 2, 2, 16, 16), (16, 2, 3, 16, 16))
    assert torch.equal(truth[:, 0, :2], torch.from_numpy(whole[2].flow))
    # a pixel that sent an event is one with a count, but for events at a clip's very end
    assert ((x[:-1].sum(2) > 0) == (truth[:-1, :, 2] > 0)).all()


def test_the_command_line_trains_and_judges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    words = [
        "train",
        "event_flow_nano",
        "--data",
        "moving_textures",
        "--out",
        run,
        "epochs=1",
        "batch_size=4",
    ]
    assert main([*words, "task.size=16", "task.clips=12", "model_args.widths=[4,8]"]) == 0
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spikedrive.data.events.simulated.flow_sources.FLOW_SETS", {"moving_textures": few})
        assert main(["eval", run, "--data", "moving_textures", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["task"], found["clips"]) == ("flow", 6)
    assert found["aee"] > 0
    assert main(["eval", run, "--data", "moving_textures", "--task", "accuracy"]) == 2


def few(split: str, **settings: Any) -> Any:
    return moving_textures(split, **{**settings, "clips": 6})


@pytest.mark.parametrize(
    ("recipe", "error", "message"),
    [
        (
            event_clips("csnn_nano", "moving_textures").replace(task={"name": "flow"}),
            ConfigError,
            "csnn_nano",
        ),
        (event_flow("event_flow_nano", "dsec"), UnknownNameError, "dsec"),
        (small(task={"name": "flow", "window": 3}), ConfigError, "task.window"),
        (small(label_smoothing=0.1), ConfigError, "label_smoothing"),
        (small(task={"name": "flow", "size": 8}), ConfigError, "size=8"),
        (small(task={"name": "flow", "size": 16, "clips": 20, "angle": -1}), ConfigError, "task.angle"),
    ],
)
def test_bad_settings_are_refused(
    recipe: Recipe, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        train(recipe, tmp_path / "run", progress=False)
