"""Augmentation of events: each transform by hand, and what holds for all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikedrive.data.events import EVENT, Events
from spikedrive.data.events import augment as aug
from spikedrive.errors import ConfigError, DtypeError, ShapeError

WIDTH, HEIGHT = 8, 6
TRANSFORMS: dict[str, aug.EventTransform] = {
    "compose": aug.Compose([aug.RandomFlip(1.0), aug.SpatialJitter(1.0), aug.DropEvents((0.5, 0.5))]),
    "choose": aug.Choose([aug.RandomFlip(1.0), aug.FlipPolarity(1.0)]),
    "crop": aug.RandomCrop(4, 3),
    "drop_area": aug.DropArea(),
    "drop_events": aug.DropEvents(),
    "drop_time": aug.DropTime(),
    "event_drop": aug.event_drop(),
    "flip": aug.RandomFlip(0.5, 0.5),
    "polarity": aug.FlipPolarity(),
    "rotate": aug.RandomRotate(60.0),
    "scale": aug.RandomScale(),
    "shear": aug.RandomShear(),
    "shift": aug.RandomShift(0.3),
    "space": aug.SpatialJitter(1.5),
    "time": aug.TimeJitter(30.0),
}


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows_of(events: Events) -> list[tuple[int, int, int, int]]:
    return [tuple(int(v) for v in event) for event in events.array]  # type: ignore[misc]


@st.composite
def clips(draw: st.DrawFn, least: int = 0) -> Events:
    one = st.tuples(
        st.integers(0, 500), st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.integers(0, 1)
    )
    rows = sorted(draw(st.lists(one, min_size=least, max_size=25)), key=lambda row: row[0])
    return Events(np.array(rows, EVENT), WIDTH, HEIGHT)


@pytest.mark.parametrize("name", TRANSFORMS)
@settings(max_examples=25, deadline=None)
@given(clip=clips(), seed=st.integers(0, 99))
def test_every_transform_gives_events_and_is_decided_by_its_generator(
    name: str, clip: Events, seed: int
) -> None:
    before = clip.array.copy()
    found, again = (TRANSFORMS[name](clip, source(seed)) for _ in range(2))
    assert np.array_equal(clip.array, before)
    assert found.array.dtype == EVENT and np.array_equal(found.array, again.array)
    assert (found.array["x"] < found.width).all() and (found.array["y"] < found.height).all()
    assert (np.diff(found.array["t"]) >= 0).all() and len(found) <= len(clip)
    if len(found):
        assert found.array["t"][0] >= before["t"][0]


@settings(max_examples=40, deadline=None)
@given(clip=clips(), seed=st.integers(0, 99))
def test_what_only_drops_changes_no_event(clip: Events, seed: int) -> None:
    for transform in (aug.DropEvents(), aug.DropTime(), aug.DropArea()):
        left = rows_of(transform(clip, source(seed)))
        every = rows_of(clip)
        for row in left:
            every.remove(row)


def test_geometry_by_hand() -> None:
    clip = Events.of([1, 2, 3], [0, 7, 3], [0, 5, 1], [1, 0, 1], width=WIDTH, height=HEIGHT)
    assert rows_of(aug.RandomFlip(1.0)(clip, source())) == [(1, 7, 0, 1), (2, 0, 5, 0), (3, 4, 1, 1)]
    assert rows_of(aug.RandomFlip(0.0, 1.0)(clip, source())) == [(1, 0, 5, 1), (2, 7, 0, 0), (3, 3, 4, 1)]
    assert rows_of(aug.move(clip, np.eye(2), (1, -1))) == [(3, 4, 0, 1)]
    # a quarter turn around (3.5, 2.5): (0, 0) goes to (6, -1), (7, 5) to (1, 6), (3, 1) to (5, 2)
    assert rows_of(aug.move(clip, aug.affine(angle=math.pi / 2))) == [(3, 5, 2, 1)]
    # half as large: (0, 0) goes to (1.75, 1.25), (7, 5) to (5.25, 3.75), (3, 1) to (3.25, 1.75)
    assert rows_of(aug.move(clip, aug.affine(scale=0.5))) == [(1, 2, 1, 1), (2, 5, 4, 0), (3, 3, 2, 1)]
    # x moves by half the distance of y to the middle row
    sheared = aug.move(clip, aug.affine(shear=(0.5, 0.0)))
    assert rows_of(sheared) == [(3, 2, 1, 1)]
    assert rows_of(aug.RandomCrop(WIDTH, HEIGHT)(clip, source())) == rows_of(clip)


@settings(max_examples=30, deadline=None)
@given(clip=clips(), seed=st.integers(0, 99))
def test_a_crop_is_a_window(clip: Events, seed: int) -> None:
    found = aug.RandomCrop(3, 4)(clip, source(seed))
    assert (found.width, found.height) == (3, 4)
    # one corner explains every event that is left, and all of the window are left
    fits = [
        (x, y)
        for x in range(WIDTH - 2)
        for y in range(HEIGHT - 3)
        if rows_of(found)
        == [(t, a - x, b - y, p) for t, a, b, p in rows_of(clip) if x <= a < x + 3 and y <= b < y + 4]
    ]
    assert fits


def test_drops_leave_the_share_that_they_say() -> None:
    t = np.arange(10_000)
    clip = Events.of(t, t % 100, t // 100, t % 2, width=100, height=100)
    assert len(aug.DropEvents((0.25, 0.25))(clip, source())) == pytest.approx(7500, abs=200)
    left = aug.DropTime((0.25, 0.25))(clip, source()).array["t"]
    assert len(left) == 7500 and np.diff(left).max() == 2501
    area = aug.DropArea((0.25, 0.25))
    left, top, right, bottom = area.box(100, 100, source(3))
    assert (right - left) * (bottom - top) == pytest.approx(2500, abs=100)
    found = area(clip, source(3))
    assert len(found) == 10_000 - (right - left) * (bottom - top)
    inside = (found.array["x"] >= left) & (found.array["x"] < right)
    inside &= (found.array["y"] >= top) & (found.array["y"] < bottom)
    assert not inside.any()
    assert len(aug.DropEvents((1.0, 1.0))(clip, source())) == 0


def test_jitter_moves_by_its_deviation() -> None:
    t = np.arange(0, 4_000_000, 1000)
    clip = Events.of(t, [50] * 4000, [50] * 4000, [1] * 4000, width=101, height=101)
    moved = aug.TimeJitter(100.0)(clip, source()).array["t"] - t
    assert moved.std() == pytest.approx(100, rel=0.05) and abs(moved.mean()) < 6
    near = aug.SpatialJitter(2.0)(clip, source()).array
    for axis in ("x", "y"):
        # rounding adds a twelfth to the variance
        assert (near[axis].astype(int) - 50).std() == pytest.approx(math.sqrt(4 + 1 / 12), rel=0.05)
    assert (aug.FlipPolarity(1.0)(clip, source()).array["p"] == 0).all()


def test_a_clip_is_not_emptied() -> None:
    clip = Events.of([1], [0], [0], [1], width=8, height=6)
    drop = aug.DropEvents((1.0, 1.0))
    assert rows_of(aug.Compose([drop])(clip, source())) == rows_of(clip)
    assert rows_of(aug.Choose([drop])(clip, source())) == rows_of(clip)
    # it does not fit on the smaller sensor
    corner = aug.Compose([lambda events, g: aug.move(events, np.eye(2), (7, 5)), aug.RandomCrop(1, 1)])
    found = [corner(clip, source(seed)) for seed in range(40)]
    assert {len(each) for each in found} == {0, 1} and all(each.width == 1 for each in found)


@settings(max_examples=40, deadline=None)
@given(one=clips(), other=clips(), seed=st.integers(0, 99))
def test_a_mixed_area_takes_each_event_from_where_it_is(one: Events, other: Events, seed: int) -> None:
    top, bottom, left, right = 1, 4, 2, 6
    mixed, share = aug.mix_area(one, other, (top, bottom, left, right))
    assert share == 1 - 12 / 48

    def inside(row: tuple[int, int, int, int]) -> bool:
        return left <= row[1] < right and top <= row[2] < bottom

    wanted = [r for r in rows_of(one) if not inside(r)] + [r for r in rows_of(other) if inside(r)]
    assert sorted(rows_of(mixed)) == sorted(wanted)
    assert (np.diff(mixed.array["t"]) >= 0).all()


@pytest.mark.parametrize("mix", [aug.MixArea(), aug.MixTime()])
def test_targets_are_weighed_by_what_is_really_mixed(mix: aug.MixArea | aug.MixTime) -> None:
    # one event on each pixel at each time, and the clip is told by its polarity
    t, x, y = (
        v.reshape(-1) for v in np.meshgrid(np.arange(20), np.arange(WIDTH), np.arange(HEIGHT), indexing="ij")
    )
    pair = [Events.of(t, x, y, np.full(len(t), p), width=WIDTH, height=HEIGHT) for p in (0, 1)]
    targets, weights = torch.eye(2), set()
    for seed in range(30):
        mixed, found = mix(pair, targets, source(seed))
        again = mix(pair, targets, source(seed))[0]
        assert all(np.array_equal(a.array, b.array) for a, b in zip(mixed, again, strict=True))
        torch.testing.assert_close(found.sum(1), torch.ones(2))
        for clip, row in zip(mixed, found, strict=True):
            assert len(clip) == len(t)
            assert row[1].item() == pytest.approx(clip.array["p"].mean(), abs=1e-6)
            weights.add(round(row[1].item(), 4))
    assert len(weights) > 10
    off = type(mix)(probability=0.0)
    assert off(pair, targets, source())[1] is targets


def test_arguments_that_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"DropEvents got share=\(0\.9, 0\.1\); it takes two numbers"):
        aug.DropEvents((0.9, 0.1))
    with pytest.raises(ConfigError, match=r"RandomFlip got horizontal=2; it takes a number from 0 to 1"):
        aug.RandomFlip(2)
    with pytest.raises(ConfigError, match=r"RandomRotate got degrees=\(0\.0, 190\)"):
        aug.RandomRotate(190)
    with pytest.raises(ConfigError, match="Choose got no transforms; it takes at least one"):
        aug.Choose([])
    with pytest.raises(ConfigError, match="RandomCrop got 0 x 3; it takes pixels of at least 1"):
        aug.RandomCrop(0, 3)
    clip = Events.of([1], [0], [0], [1], width=2, height=2)
    with pytest.raises(ConfigError, match="a sensor of 2 x 2 for a window of 3 x 1; the window fits"):
        aug.RandomCrop(3, 1)(clip, source())
    wide = Events.of([1], [0], [0], [1], width=3, height=2)
    with pytest.raises(ShapeError, match="all are of one sensor"):
        aug.MixArea()([clip, wide], torch.eye(2), source())
    with pytest.raises(ShapeError, match="one row a clip"):
        aug.MixTime()([clip, clip], torch.eye(3), source())
    with pytest.raises(DtypeError, match="Make them with one_hot"):
        aug.MixTime()([clip, clip], torch.eye(2).long(), source())
    with pytest.raises(ConfigError, match="MixTime got alpha=0; it takes a number above 0"):
        aug.MixTime(alpha=0)
