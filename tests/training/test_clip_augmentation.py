"""Runs on event clips that are augmented: decided by the recipe's seed, resumed to the same bits, and right in kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from event_training import bar_recipe, write_bars
from spikedrive.data.events import Events
from spikedrive.data.events import augment as aug
from spikedrive.errors import UnknownNameError
from spikedrive.training import train
from spikedrive.training.prepare.clip_augmentation import MIXES, MOVES
from spikedrive.training.prepare.clips import ClipBatches, prepare_clips

CPU = torch.device("cpu")
ARGUMENTS: dict[str, dict[str, Any]] = {
    "RandomCrop": {"width": 16, "height": 16},
    "SpatialJitter": {"deviation": 1.0},
    "TimeJitter": {"deviation": 50.0},
}


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    return write_bars(tmp_path / "bars", train=24, test=2)


def test_every_public_transform_can_be_named() -> None:
    others = {"Choose", "Compose", "EventTransform", "affine", "mix_area", "mix_time", "move", "event_drop"}
    assert {*MOVES, *MIXES} == ({*aug.__all__} - others) | {"EventDrop"}
    clip = Events.of([1, 2], [3, 4], [5, 6], [1, 0], width=16, height=16)
    for name, make in MOVES.items():
        found = make(**ARGUMENTS.get(name, {}))(clip, torch.Generator().manual_seed(0))
        assert (found.width, found.height) == (16, 16)


def test_batches_are_decided_by_the_recipe_and_the_clip(bars: Path) -> None:
    plain = bar_recipe(bars)
    moved = bar_recipe(bars, augment={"RandomShift": {"most": 0.3}, "EventDrop": {}})
    first, second, without = (
        next(iter(ClipBatches(r, prepare_clips(r), device=CPU).epoch(1, 1))) for r in (moved, moved, plain)
    )
    for a, b, c in zip(first, second, without, strict=True):
        assert torch.equal(a.x, b.x) and torch.equal(a.targets, c.targets)
        assert not torch.equal(a.x, c.x)
        assert torch.equal(a.x, a.x.round()) and a.x.transpose(0, 1).flatten(1).any(1).all()
    # two processes draw what one draws
    data, size = prepare_clips(moved), moved.batch_size
    halves = [
        next(iter(ClipBatches(moved, data, device=CPU, rank=rank, world=2).epoch(1, 1))) for rank in range(2)
    ]
    whole = torch.cat([part.x for part in first], 1)
    assert whole.shape[1] == size
    assert torch.equal(torch.cat([part.x for half in halves for part in half], 1), whole)


def test_mixed_targets_are_shares_and_stop_when_they_are_told(bars: Path) -> None:
    recipe = bar_recipe(bars, mix={"MixArea": {}, "MixTime": {}}, mix_epochs=1)
    batches = ClipBatches(recipe, prepare_clips(recipe), device=CPU)
    for part in next(iter(batches.epoch(0))):
        torch.testing.assert_close(part.targets.sum(1), torch.ones(part.samples))
        assert ((part.targets > 0) & (part.targets < 1)).any()
    for part in next(iter(batches.epoch(1))):
        assert part.targets.dtype == torch.int64


@pytest.mark.parametrize("mix", [{"EventRPG": {"mix": 0.7, "cell": 4}}, {"MixTime": {}, "EventRPG": {}}])
def test_a_guided_run_resumes_to_the_same_bits(bars: Path, tmp_path: Path, mix: dict[str, Any]) -> None:
    class StopHereError(Exception):
        pass

    def stop(line: dict[str, Any]) -> None:
        if line["kind"] == "epoch" and line["epoch"] == 1:
            raise StopHereError

    small = {"model": "sew_resnet_nano", "model_args": {"widths": [8], "depths": [1], "input": "frames"}}
    recipe = bar_recipe(bars, epochs=2, mix=mix, augment={"RandomFlip": {"vertical": 0.5}}, **small)
    train(recipe, tmp_path / "whole", progress=False)
    with pytest.raises(StopHereError):
        train(recipe, tmp_path / "stopped", progress=False, callback=stop)
    train(recipe, tmp_path / "stopped", progress=False)
    train(bar_recipe(bars, epochs=2, **small), tmp_path / "plain", progress=False)
    a, b, c = (
        load_file(tmp_path / run / "checkpoints" / "last.safetensors")
        for run in ("whole", "stopped", "plain")
    )
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    assert any(not torch.equal(a[key], c[key]) for key in a)


def test_names_that_are_none_have_neighbours(bars: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UnknownNameError, match=r"no transform of events named 'RandomHorizontalFlip'.*RandomFlip"
    ):
        train(bar_recipe(bars, augment={"RandomHorizontalFlip": {}}), tmp_path / "run", progress=False)
    with pytest.raises(UnknownNameError, match="no transform of events named 'Mixup'"):
        train(bar_recipe(bars, mix={"Mixup": {}}), tmp_path / "run", progress=False)
