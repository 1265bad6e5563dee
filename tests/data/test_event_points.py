"""Events as points: scaled, sampled the same way every time, and filled up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spikedrive.data.events import Events, events_to_points
from spikedrive.errors import ConfigError, DataError


def clip(count: int) -> Events:
    draw = np.random.default_rng(0)
    columns = [
        np.sort(draw.integers(500, 90_000, count)),
        draw.integers(0, 16, count),
        draw.integers(0, 9, count),
    ]
    return Events.of(*columns, draw.integers(0, 2, count), width=16, height=9)


def test_a_sample_holds_events_of_the_clip_scaled_to_one() -> None:
    events = clip(300)
    points = events_to_points(events, 100, seed=3, polarity=True)
    assert points.shape == (100, 4) and points.dtype == torch.float32
    assert points.min() >= 0 and points.max() <= 1
    assert (points[:, 2].diff() >= 0).all()
    first, duration = events.array["t"][0], events.duration
    every = {
        (round(float(x) / 15, 5), round(float(y) / 8, 5), round(float(t - first) / duration, 5), float(p))
        for t, x, y, p in events.array.tolist()
    }
    found = [tuple(round(float(v), 5) for v in row) for row in points]
    assert set(found) <= every
    # drawn without putting back
    assert len(found) == 100 and len(set(found)) >= 99


def test_a_seed_is_a_sample() -> None:
    events = clip(300)
    assert torch.equal(events_to_points(events, 50, seed=1), events_to_points(events, 50, seed=1))
    assert not torch.equal(events_to_points(events, 50, seed=1), events_to_points(events, 50, seed=2))


def test_a_short_clip_gives_all_its_events_and_some_again() -> None:
    events = clip(20)
    points = events_to_points(events, 64)
    assert points.shape == (64, 3)
    assert torch.equal(points.unique(dim=0), events_to_points(events, 20).unique(dim=0))


def test_one_event_and_one_pixel_are_points_too() -> None:
    events = Events.of([7], [0], [0], [1], width=1, height=1)
    assert events_to_points(events, 2).tolist() == [[0.0, 0.0, 0.0]] * 2


def test_what_has_no_points_is_named() -> None:
    with pytest.raises(DataError, match="got a clip without events; it takes at least one"):
        events_to_points(Events.of([], [], [], [], width=2, height=2))
    with pytest.raises(ConfigError, match="events_to_points got count=0; it takes at least 1 point"):
        events_to_points(clip(5), 0)
