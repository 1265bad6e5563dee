"""Batches of clips: what the operations on events take."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikedrive.data.events import Events, batch_events, slice_by_time
from spikedrive.encoders import BinnedEvents
from spikedrive.errors import DataError
from spikedrive.ops.events import frames


def clip(count: int, seed: int = 0) -> Events:
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 10_000, count)) - 500
    x, y, p = (rng.integers(0, n, count) for n in (7, 5, 2))
    return Events.of(t, x, y, p, width=7, height=5)


def test_clips_lie_one_behind_the_other() -> None:
    clips = [clip(20), clip(0), clip(7, 1)]
    batch = batch_events(clips)
    assert (len(batch), batch.width, batch.height) == (3, 7, 5)
    assert batch.offsets.tolist() == [0, 20, 20, 27] and batch.counts.tolist() == [20, 0, 7]
    assert batch.clip.tolist() == [0] * 20 + [2] * 7
    for name in ("t", "x", "y", "p"):
        wanted = np.concatenate([part.array[name] for part in clips])
        assert np.array_equal(getattr(batch, name).numpy(), wanted)
    ends = [[int(part.array["t"][i]) for part in (clips[0], clips[2])] for i in (0, -1)]
    assert [batch.begin[::2].tolist(), batch.end[::2].tolist()] == ends
    moved = batch_events(clips, device="meta")
    assert moved.t.device == moved.end.device == torch.device("meta")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=4),
    st.integers(1, 6),
    st.sampled_from(["time", "count"]),
    st.sampled_from([None, 3, 700]),
    st.sampled_from([None, 2]),
)
def test_frames_are_those_of_binned_events(counts, steps, by, bin, levels) -> None:
    clips = [clip(count, seed) for seed, count in enumerate(counts)]
    y = frames(batch_events(clips), steps=steps, by=by, bin=bin, levels=levels)
    encoder = BinnedEvents(5, 7, steps=steps, by=by, bin=bin, levels=levels)
    assert torch.equal(y, torch.stack([encoder(part.array) for part in clips], 1))


def test_slices_keep_their_own_clock() -> None:
    events = Events.of([0, 90, 310], [0, 1, 2], [0, 0, 0], [1, 1, 1], width=3, height=1)
    slices = list(slice_by_time(events, 100, include_incomplete=True))
    batch = batch_events(slices)
    assert batch.begin.tolist() == [0, 100, 200, 300] and batch.end.tolist() == [100, 200, 300, 400]
    y = frames(batch, steps=2)
    assert y.sum((2, 3, 4)).tolist() == [[1, 0, 0, 1], [1, 0, 0, 0]]
    assert torch.equal(y, frames(batch, steps=2, bin=50))


def test_what_is_no_batch_is_refused() -> None:
    with pytest.raises(DataError, match=r"got clips of no sensors; it takes those of one"):
        batch_events([])
    other = Events.of([5], [0], [0], [1], width=1, height=1)
    with pytest.raises(DataError, match=r"clips of \[\(1, 1\), \(7, 5\)\] sensors; .* Batch them apart"):
        batch_events([clip(3), other])
    with pytest.raises(DataError, match=r"got a single clip; .* Pass \[clip\]"):
        batch_events(other)  # pyright: ignore[reportArgumentType]
