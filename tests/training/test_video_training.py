"""Models of video train on three tasks, resume to the same bits, are judged, and refuse what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from spikedrive.cli.app import main
from spikedrive.data.video import moving_shapes
from spikedrive.errors import ConfigError, UnknownNameError
from spikedrive.recipes import video_clips
from spikedrive.tasks import pose, segment
from spikedrive.training import Recipe, evaluate_video, train
from spikedrive.training.prepare.video import as_frames

TASKS = {"video": (), "segment": ("miou",), "pose": ("pixel_error",)}
every_task = pytest.mark.parametrize("task", TASKS)
TINY = {"widths": [8, 16, 16], "heads": 2}


class StopHereError(Exception):
    """What the test's callback throws."""


def tiny(task: Any, /, **changes: Any) -> Recipe:
    """Two epochs of four steps on 40 clips."""
    fields = {
        "model_args": TINY, "task": {"name": task, "clips": 40}, "epochs": 2, "batch_size": 8, "val_fraction": 0.2,
        "threads": 1, "device": "cpu", "warmup_epochs": 0.0,
    }  # fmt: skip
    return video_clips("spike_video_former_nano", "moving_shapes", task).replace(**{**fields, **changes})


@every_task
def test_a_resumed_run_equals_an_unbroken_one(task: str, tmp_path: Path) -> None:
    def stop(line: dict[str, Any]) -> None:
        if line["kind"] == "epoch":
            raise StopHereError

    recipe = tiny(task)
    whole = train(recipe, tmp_path / "whole", progress=False)
    assert whole.metrics["steps"] == 8 and whole.metrics["val_clips"] >= 6
    with pytest.raises(StopHereError):
        train(recipe, tmp_path / "stopped", progress=False, callback=stop)
    again = train(recipe, tmp_path / "stopped", progress=False)
    for file in ("best", "last"):
        a, b = (
            load_file(tmp_path / run / "checkpoints" / f"{file}.safetensors") for run in ("whole", "stopped")
        )
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    judged = ["val_accuracy", "val_loss", *(f"val_{key}" for key in TASKS[task])]
    assert all(again.metrics[key] == whole.metrics[key] for key in judged)


@every_task
def test_figures_are_those_of_the_best_weights(task: Any, tmp_path: Path) -> None:
    run = train(tiny(task, epochs=3), tmp_path / "run", progress=False)
    clips = moving_shapes("train").subset(
        torch.randperm(1200, generator=torch.Generator().manual_seed(0))[:40]
    )
    from spikedrive.training.prepare.part import SPLIT, seed_of

    _, held = clips.split(0.2, seed=seed_of(run.recipe, SPLIT))
    found = evaluate_video(run.load(), held, task)
    for key in ("accuracy", *TASKS[task]):
        assert found[key] == pytest.approx(run.metrics[f"val_{key}"], abs=1e-6)


def test_balance_changes_what_is_learned_and_not_how_it_is_judged(tmp_path: Path) -> None:
    plain, balanced = (
        train(
            tiny("segment", epochs=1, task={"name": "segment", "clips": 40, "balance": balance}),
            tmp_path / str(balance),
            progress=False,
        )
        for balance in (0, 1)
    )
    a, b = (load_file(run.folder / "checkpoints" / "last.safetensors") for run in (plain, balanced))
    assert any(not torch.equal(a[key], b[key]) for key in a)
    found = evaluate_video(balanced.load(), moving_shapes("test", clips=4), "segment")
    again = evaluate_video(plain.load(), moving_shapes("test", clips=4), "segment")
    assert found["miou"] != again["miou"]


def test_figures_do_not_depend_on_the_size_of_a_batch() -> None:
    clips = moving_shapes("test", clips=10)

    class Answers(torch.nn.Module):
        def __init__(self, task: str) -> None:
            super().__init__()
            self.task, self.one = task, torch.nn.Parameter(torch.ones(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.task == "pose":
                return x.mean((2, 3, 4))[..., None, None].expand(*x.shape[:2], 3, 2) + 0.5
            return x * torch.linspace(-1, 1, 5).view(5, 1, 1)

    for task, names in (("segment", ("miou",)), ("pose", ("pixel_error",))):
        model = Answers(task)
        one, many = (evaluate_video(model, clips, task, batch_size=size) for size in (1, 10))
        assert one == pytest.approx(many) and one["clips"] == 10
        answer = model(as_frames(clips.frames))
        if task == "segment":
            counts = segment.confusion(answer, clips.masks.movedim(1, 0).long())
            assert one["miou"] == segment.mean_iou(counts)
        else:
            off = pose.distances(answer, clips.points.movedim(1, 0)) * 32
            assert one["pixel_error"] == pytest.approx(float(off.mean()), rel=1e-5)
        assert set(one) == {"loss", "accuracy", "clips", *names}


@every_task
def test_the_command_line_trains_and_judges(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["epochs=1", "batch_size=8", "task.clips=24", "device=cpu", f"model_args={json.dumps(TINY)}"]
    of_task = [] if task == "video" else ["--task", task]
    out = tmp_path / "run"
    where = ["--data", "moving_shapes", "--out", str(out), *of_task]
    assert main(["train", "spike_video_former_nano", *where, *settings]) == 0
    assert f"spikedrive eval {out} --data moving_shapes" in capsys.readouterr().out
    assert main(["eval", str(out), "--data", "moving_shapes", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["learned"], found["clips"], found["split"]) == (task, 300, "test")
    assert all(key in found for key in ("accuracy", "loss", *TASKS[task]))
    assert main(["eval", str(out), "--data", "moving_shapes", "--task", "anytime"]) == 2
    assert "it can be asked for accuracy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"model": "meta_spikeformer_nano", "model_args": {}},
            "whose input is image; it trains models of frames",
        ),
        ({"model": "csnn_nano", "model_args": {}}, "answers with classes of a clip alone"),
        ({"task": {"name": "segment", "clip": 5}}, r"got task\.clip; it takes task\.clips"),
        ({"task": {"name": "pose", "balance": 0.5}}, r"got task\.balance; it takes task\.clips"),
        ({"task": {"name": "segment", "balance": -1}}, r"'task\.balance' got -1"),
        ({"model_args": {"task": "pose"}}, r"got model_args\.task"),
        ({"label_smoothing": 0.1}, "got label_smoothing"),
        ({"mix": {"Mixup": {}}}, "got mix"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        train(tiny("segment", **changes), tmp_path / "run", progress=False)


def test_other_data_and_other_outputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no set of video clips named 'moving_things'"):
        train(tiny("pose", data="moving_things"), tmp_path / "run", progress=False)
    run = train(tiny("pose", epochs=1), tmp_path / "run", progress=False)
    with pytest.raises(ConfigError, match="5 names for the task 'segment' and a model with 3"):
        evaluate_video(run.load(), moving_shapes("test", clips=6), "segment")
