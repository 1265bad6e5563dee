"""Classifiers of event clips train, resume to the same bits, are judged, and refuse what is none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from event_training import SIDE, WINDOW, bar_recipe, moving_bar, write_bars
from spikedrive.cli.app import main
from spikedrive.data.events import FrameReader, PointReader, load_events, read_record, write_recording
from spikedrive.errors import ConfigError, DataError
from spikedrive.training import evaluate_anytime_clips, evaluate_clips, train
from spikedrive.training.prepare import prepare_clips


class StopHereError(Exception):
    """What the test's callback throws."""


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    return write_bars(tmp_path / "bars")


def test_a_run_learns_and_a_resumed_one_equals_it(bars: Path, tmp_path: Path) -> None:
    def stop(line: dict[str, Any]) -> None:
        if line["kind"] == "epoch" and line["epoch"] == 3:
            raise StopHereError

    recipe = bar_recipe(bars, epochs=18)
    whole = train(recipe, tmp_path / "whole", progress=False)
    assert (whole.metrics["train_clips"], whole.metrics["val_clips"]) == (32, 8)
    with pytest.raises(StopHereError):
        train(recipe, tmp_path / "stopped", progress=False, callback=stop)
    train(recipe, tmp_path / "stopped", progress=False)
    a, b = (load_file(tmp_path / run / "checkpoints" / "last.safetensors") for run in ("whole", "stopped"))
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    model, clips = whole.load(), load_events(bars, "test")
    reader = FrameReader.of_record(model.metadata["events"])
    assert reader == FrameReader(6, SIDE, SIDE, WINDOW)
    found = evaluate_clips(model, clips, reader, batch_size=3)
    assert found["clips"] == 8
    assert found["accuracy"] >= 0.9


def test_shares_of_the_judges_add_up(bars: Path, tmp_path: Path) -> None:
    run = train(bar_recipe(bars, epochs=1), tmp_path / "run", progress=False)
    model, clips = run.load(), load_events(bars, "test")
    reader = FrameReader.of_record(model.metadata["events"])
    whole = evaluate_clips(model, clips, reader, batch_size=2)
    parts = [evaluate_clips(model, clips, reader, batch_size=2, rank=r, world=2) for r in range(2)]
    assert [part["clips"] for part in parts] == [4, 4]
    assert whole["loss"] == pytest.approx(sum(part["loss"] for part in parts) / 2)


def test_the_command_line_trains_and_judges(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [
        "epochs=1", "batch_size=8", "task.window=5000", "task.steps=6", "task.size=16", "device=cpu",
        'model_args={"width": 16, "depth": 1, "heads": 2, "pooling": "1100"}',
    ]  # fmt: skip
    name, out = "spike_driven_transformer_cifar10_dvs_2_256", tmp_path / "run"
    assert main(["train", name, "--data", str(bars), "--out", str(out), *settings]) == 0
    capsys.readouterr()
    assert main(["eval", str(out), "--data", str(bars), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["task"] == "accuracy" and found["clips"] == 8 and 0 <= found["accuracy"] <= 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"model": "meta_spikeformer_nano", "model_args": {}},
            "whose input is image; it trains models of frames or points",
        ),
        ({"task": {"name": "events", "windo": 5}}, r"got task\.windo; it takes task\.window"),
        (
            {"task": {"name": "events", "size": 16, "points": 9}},
            r"task\.points' got 9; it takes nothing for",
        ),
        ({"augment": {"RandomCrop": {"padding": 1}}}, r"augment\.RandomCrop got .*, which it does not take"),
        ({"mix": {"EventRPG": {"share": 1}}}, r"mix\.EventRPG got .*, which it does not take"),
        ({"image_size": 32}, "got image_size"),
        ({"task": {"name": "events", "size": 32}}, "at most the sensor's 16 x 16"),
        ({"task": {"name": "events", "size": 16, "window": 0}}, "whole number of at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(bars: Path, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        train(bar_recipe(bars, **changes), tmp_path / "run", progress=False)


def test_too_few_clips_are_refused(bars: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="32 training and 8 validation clips"):
        train(bar_recipe(bars, batch_size=64), tmp_path / "run", progress=False)


def test_folders_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist; accepted are the names"):
        load_events(tmp_path / "nothing")
    (tmp_path / "empty" / "class").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no recordings"):
        load_events(tmp_path / "empty")
    whole = write_bars(tmp_path / "bars")
    with pytest.raises(DataError, match="has no split 'val'; it has train, test"):
        load_events(whole, "val")
    other = moving_bar(True, 0)
    write_recording(whole / "train" / "lies" / "zzz.npz", type(other)(other.array, 32, SIDE))
    with pytest.raises(DataError, match=r"of a sensor of 16 x 16, and .*zzz\.npz of 32 x 16"):
        load_events(whole, "train")


def test_frames_of_a_window_and_of_a_share() -> None:
    clip = moving_bar(True, 3)
    frames = FrameReader(6, SIDE, SIDE, WINDOW)([clip])
    assert frames.shape == (6, 1, 2, SIDE, SIDE) and float(frames.sum()) == 1200
    assert frames.sum((1, 2, 3, 4)).tolist() == [200] * 6
    # half the windows: the later events are left out; a share of the duration: none is
    assert float(FrameReader(3, SIDE, SIDE, WINDOW)([clip]).sum()) == 600
    assert float(FrameReader(3, SIDE, SIDE)([clip]).sum()) == 1200
    halves = FrameReader(6, SIDE // 2, SIDE // 2, WINDOW)([clip])
    gathered = torch.nn.functional.avg_pool2d(frames.flatten(0, 1), 2) * 4
    assert torch.equal(halves.flatten(0, 1), gathered)
    assert float(FrameReader(6, SIDE, SIDE, WINDOW, levels=2)([clip]).max()) == 2
    for side in (SIDE, SIDE // 2):
        reader = FrameReader(1, side, side, levels=3)
        np.testing.assert_array_equal(reader.step(clip), reader([clip])[0].numpy())
    assert not FrameReader(1, SIDE, SIDE).step(clip[:0]).any()
    assert FrameReader(2, SIDE, SIDE)([]).shape == (2, 0, 2, SIDE, SIDE)
    empty = clip[:0]
    assert float(FrameReader(2, SIDE, SIDE)([empty, clip])[:, 0].sum()) == 0
    with pytest.raises(DataError, match="sensor of 16 x 16 came for frames of 32 x 16"):
        FrameReader(2, 32, SIDE)([clip])
    with pytest.raises(ConfigError, match="levels=256; it takes a whole number from 1 to 255"):
        FrameReader(2, 8, 8, levels=256)


def test_early_answers_on_clips(bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(bar_recipe(bars, epochs=1), tmp_path / "run", progress=False)
    assert main(["eval", str(tmp_path / "run"), "--data", str(bars), "--task", "anytime", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["clips"], found["validation_clips"], len(found["fixed"])) == (8, 8, 6)
    model, clips = run.load(), load_events(bars, "test")
    reader = FrameReader.of_record(model.metadata["events"])
    # after all steps the answer is that of the whole clip, and after two that of a reader of two
    for steps in (6, 2):
        whole = evaluate_clips(model, clips, replace(reader, steps=steps))
        seen = float(replace(reader, steps=steps)([clips[i] for i in range(8)]).sum()) / 8
        assert found["fixed"][steps - 1] == {"steps": steps, "accuracy": whole["accuracy"], "events": seen}
    assert 1 <= found["steps"] <= 6 and 0 <= found["oracle"][-1]["accuracy"] <= 1
    words = [
        "eval",
        str(tmp_path / "run"),
        "--data",
        str(bars),
        "--task",
        "anytime",
        "--steps",
        "3",
        "--json",
    ]
    assert main(words) == 0 and len(json.loads(capsys.readouterr().out)["fixed"]) == 3
    with pytest.raises(DataError, match="got 0 clips to choose on"):
        evaluate_anytime_clips(model, clips.subset(torch.arange(0)), clips, reader)
    with pytest.raises(ConfigError, match="a reader of one step"):
        evaluate_anytime_clips(model, clips, clips, replace(reader, steps=1))


def test_predict_names_the_class_of_recordings(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(bar_recipe(bars, epochs=1), tmp_path / "run", progress=False)
    model, clips = run.load(), load_events(bars, "test")
    reader = read_record(model.metadata["events"])
    assert isinstance(reader, FrameReader)
    logits = torch.cat([model(reader([clips[i]])) for i in range(3)])
    wanted = [clips.class_names[k] for k in logits.argmax(1)]
    # what comes behind the slices that it learned with is not read
    late = moving_bar(True, 5, windows=12)
    write_recording(tmp_path / "late.npz", late)
    paths = [str(write_clip(tmp_path / f"{i}.npz", clips[i])) for i in range(3)]
    assert main(["predict", str(tmp_path / "run"), *paths, str(tmp_path / "late.npz"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["names"][0] for each in found[:3]] == wanted
    first = int((late.array["t"] < late.array["t"][0] + 6 * WINDOW).sum())
    assert (found[3]["recording"], found[3]["events"]) == (str(tmp_path / "late.npz"), first)
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "none.npz")]) == 2
    assert "There is no recording at" in capsys.readouterr().err
    # CSV does not say its sensor
    write_recording(tmp_path / "a.csv", clips[0])
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "a.csv"), "--size", f"{SIDE}x{SIDE}"]) == 0
    assert wanted[0] in capsys.readouterr().out
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "a.csv"), "--size", "16"]) == 2
    assert "--size 16 is no size" in capsys.readouterr().err


def write_clip(path: Path, clip: Any) -> Path:
    write_recording(path, clip)
    return path


def test_a_model_of_points_learns_from_clips(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"groups": 16, "neighbours": 8, "steps": 4}
    recipe = bar_recipe(
        bars,
        model="spikepoint_nano",
        model_args=small,
        task={"name": "events", "points": 96},
        epochs=2,
        lr=3e-3,
    )
    run = train(recipe, tmp_path / "run", progress=False)
    model = run.load()
    reader = read_record(model.metadata["events"])
    assert reader == PointReader(96)
    clips = load_events(bars, "test")
    whole, parts = (evaluate_clips(model, clips, reader, batch_size=size) for size in (8, 3))
    # a clip's points do not depend on those beside it
    assert whole["accuracy"] == parts["accuracy"]
    assert whole["loss"] == pytest.approx(parts["loss"], rel=1e-5)
    assert main(["eval", str(tmp_path / "run"), "--data", str(bars), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == whole["accuracy"]
    x, other = reader([clips[0]]), reader([clips[0]], seed=1)
    assert x.shape == (1, 96, 3) and not torch.equal(x, other) and torch.equal(x, reader([clips[0]]))
    default = prepare_clips(recipe.replace(task={"name": "events"}))
    assert default.reader == PointReader(256)
    assert PointReader(5, polarity=True)([]).shape == (0, 5, 4)
    with pytest.raises(ConfigError, match=r"PointReader got number=0"):
        PointReader(0)
    with pytest.raises(ConfigError, match="does not fit"):
        read_record({"kind": "points", "count": 3})
    assert main(["eval", str(tmp_path / "run"), "--data", str(bars), "--task", "anytime"]) == 2
    assert "one of the kind 'frames' is taken" in capsys.readouterr().err
