"""Textures that move before the simulated camera: their flow is exact, their events follow it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from spikedrive.data.events.simulated import Motion, moving_textures
from spikedrive.data.events.simulated.flow import KINDS, show, texture
from spikedrive.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPIKEDRIVE_CACHE", str(tmp_path))
    return tmp_path


MOTIONS_SHOWN = [
    Motion(np.array([60.0, -35.0]), 0.0, 0.0),
    Motion(np.zeros(2), 2.0, 0.0),
    Motion(np.zeros(2), 0.0, -1.3),
    Motion(np.array([-40.0, 20.0]), -1.5, 0.8),
]


@pytest.mark.parametrize("motion", MOTIONS_SHOWN)
def test_frames_warped_by_the_flow_are_the_later_frames(motion: Motion) -> None:
    # a smooth texture, of which bilinear sampling makes next to no error
    grid = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    smooth = F.interpolate(grid, size=(256, 256), mode="bicubic", align_corners=False).clamp(0, 1)[0]
    start, end = 100_000, 140_000
    first, second = show(smooth, [motion], np.array([start, end]), size=48)[:, 0]
    flow = motion.flow(start, end, width=48, height=48)
    y, x = np.mgrid[:48, :48]
    there = torch.from_numpy(np.stack([x + flow[0], y + flow[1]], -1))
    grid_there = ((there + 0.5) / 24 - 1).float()[None]
    warped = F.grid_sample(second[None, None], grid_there, align_corners=False)[0, 0]
    inside = ((there > 0) & (there < 47)).all(-1)
    assert inside.float().mean() > 0.7 and np.abs(flow).max() > 1
    error = (warped - first)[inside].abs()
    assert error.max() < 0.01
    # the flow the other way does not fit
    back = 2 * torch.from_numpy(np.stack([x, y], -1)) - there
    wrong = F.grid_sample(second[None, None], ((back + 0.5) / 24 - 1).float()[None], align_corners=False)[
        0, 0
    ]
    assert (wrong - first)[inside].abs().mean() > 10 * error.mean()


def test_known_motions_have_their_flow() -> None:
    flow = Motion(np.array([30.0, -10.0]), 0.0, 0.0).flow(50_000, 150_000, width=4, height=3)
    np.testing.assert_allclose(flow, np.broadcast_to(np.array([3.0, -1.0])[:, None, None], (2, 3, 4)))
    # a quarter turn, clockwise: what was to the right of the middle is below it
    turned = Motion(np.zeros(2), np.pi / 2, 0.0).flow(0, 1_000_000, width=3, height=3)
    np.testing.assert_allclose(turned[:, 1, 2], [-1, 1], atol=1e-12)
    doubled = Motion(np.zeros(2), 0.0, np.log(2)).flow(0, 1_000_000, width=3, height=3)
    np.testing.assert_allclose(doubled[:, 0, 0], [-1, -1], atol=1e-12)
    assert np.abs(doubled[:, 1, 1]).max() < 1e-12


@pytest.mark.parametrize("motion", MOTIONS_SHOWN)
def test_flows_one_after_the_other_are_the_flow_of_the_whole_time(motion: Motion) -> None:
    whole = motion.flow(0, 300_000, width=9, height=9)[:, 4, 4]
    place = np.zeros(2)
    for step in range(3):
        span = 100_000 * step, 100_000 * (step + 1)
        # the flow is affine in the place, so that two points of the map give it everywhere
        there = motion.flow(*span, width=9, height=9)
        slope = np.stack([there[:, 4, 5] - there[:, 4, 4], there[:, 5, 4] - there[:, 4, 4]], 1)
        place = place + there[:, 4, 4] + slope @ place
    np.testing.assert_allclose(place, whole, atol=1e-9)


def test_a_set_of_flows(cache: Path) -> None:
    made = moving_textures("train", clips=8, size=32)
    again = moving_textures("train", clips=8, size=32, dt=40_000)
    assert len(list(cache.glob("events/moving_textures-*"))) == 1, (
        "the length of a slice makes no other events"
    )
    assert len(made) == 8 and torch.bincount(made.kinds).tolist() == [2] * len(KINDS)
    for i in range(8):
        clip, longer = made[i], again[i]
        np.testing.assert_array_equal(clip.events.array, longer.events.array)
        assert clip.flow.shape == (16, 2, 32, 32) and clip.flow.dtype == np.float32
        assert longer.flow.shape == (8, 2, 32, 32) and longer.times[-1] == clip.times[-1] == 320_000
        assert len(clip.events) > 100 and np.isfinite(clip.flow).all()
        # less than a pixel from one frame to the next: 5 of them in a slice
        assert 0 < np.abs(clip.flow).max() < 5
        for k in (0, 7, 15):
            end = clip.times[k + 1] + (k == 15)
            own = clip.events.between(clip.times[k], end).array
            expected = np.zeros((32, 32), bool)
            expected[own["y"], own["x"]] = True
            np.testing.assert_array_equal(clip.mask[k], expected)


def test_train_and_test_share_nothing() -> None:
    train, test = (moving_textures(split, clips=4, size=32) for split in ("train", "test"))
    drawn = [
        {(*motion.velocity, motion.turn, motion.zoom) for motion in part.motions} for part in (train, test)
    ]
    assert not drawn[0] & drawn[1] and len(drawn[0] | drawn[1]) == 8
    assert len({len(part[i].events) for part in (train, test) for i in range(4)}) == 8
    source = torch.Generator().manual_seed(0)
    assert not torch.equal(texture(source), texture(source))


def test_the_flow_of_a_kind_is_of_that_kind() -> None:
    made = moving_textures("test", clips=8, size=32)
    for i, motion in enumerate(made.motions):
        kind = KINDS[int(made.kinds[i])]
        assert (np.abs(motion.velocity).max() > 0) == (kind in ("translation", "all"))
        assert (motion.turn != 0) == (kind in ("rotation", "all"))
        assert (motion.zoom != 0) == (kind in ("zoom", "all"))


def test_flow_sets_that_there_are_not_are_refused() -> None:
    with pytest.raises(DataError, match="no split 'val'"):
        moving_textures("val")
    for name, value in (("size", 8), ("size", 256), ("dt", 0), ("dt", 400_000), ("clips", 0)):
        with pytest.raises(ConfigError, match=f"{name}={value}"):
            moving_textures("train", **{name: value})
