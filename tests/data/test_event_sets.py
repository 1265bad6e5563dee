"""Labelled clips of events: packed, chosen, divided."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spikedrive.data.events import EVENT, Events, EventSet, PackedClips
from spikedrive.errors import ConfigError, DataError, ShapeError


def some_clips(count: int) -> list[Events]:
    return [
        Events.of(range(i), [i % 5] * i, [i % 3] * i, [i % 2] * i, width=5, height=3) for i in range(count)
    ]


def some_set(count: int, classes: int = 2) -> EventSet:
    names = tuple(f"class {k}" for k in range(classes))
    labels = torch.arange(count) % classes
    return EventSet(PackedClips.of(some_clips(count)), labels, names, 5, 3)


def test_packed_clips_are_the_clips() -> None:
    clips, packed = some_clips(6), PackedClips.of(some_clips(6))
    assert len(packed) == 6
    for i, one in enumerate(clips):
        np.testing.assert_array_equal(one.array, packed[i].array)
    np.testing.assert_array_equal(packed[-1].array, clips[5].array)
    with pytest.raises(IndexError):
        packed[6]


def test_a_subset_keeps_order_and_labels() -> None:
    part = some_set(6).subset(torch.tensor([5, 2]))
    assert [len(part[i]) for i in range(2)] == [5, 2]
    assert part.labels.tolist() == [1, 0]
    again = part.subset(torch.tensor([1]))
    assert len(again[0]) == 2 and again.labels.tolist() == [0]


def test_a_split_is_disjoint_and_takes_of_every_class() -> None:
    whole = some_set(40, classes=4)
    train, held = whole.split(0.25, seed=3)
    assert sorted(len(part[i]) for part in (train, held) for i in range(len(part))) == list(range(40))
    assert torch.bincount(held.labels, minlength=4).tolist() == [2, 2, 2, 2]
    assert torch.equal(held.labels, whole.split(0.25, seed=3)[1].labels)
    with pytest.raises(ConfigError, match="fraction=1"):
        whole.split(1.0)


def test_parts_that_do_not_fit_are_refused() -> None:
    packed = PackedClips.of(some_clips(3))
    with pytest.raises(ShapeError, match="one int64 label a clip"):
        EventSet(packed, torch.zeros(2, dtype=torch.int64), ("a",), 5, 3)
    with pytest.raises(DataError, match="from 0 to 2 and 2 class names"):
        EventSet(packed, torch.arange(3), ("a", "b"), 5, 3)
    with pytest.raises(ShapeError, match="ascending starts"):
        PackedClips(packed.array, np.array([0, 3, 2, 3]), 5, 3)
    with pytest.raises(ShapeError, match="events of EVENT"):
        PackedClips(np.zeros(3, np.dtype([("t", "<i4")])), np.array([0, 3]), 5, 3)
    assert PackedClips(np.zeros(0, EVENT), np.array([0]), 5, 3).starts.tolist() == [0]
