"""Slices: joined they are the whole, whatever pieces they came in."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikedrive.data.events import Events, open_recording, slice_by_count, slice_by_time, write_recording
from spikedrive.errors import ConfigError, DataError

ANY = settings(max_examples=80, deadline=None)
times = st.lists(st.integers(-50, 400), max_size=60).map(sorted)


def events_at(t: list[int]) -> Events:
    n = len(t)
    return Events.of(t, np.arange(n) % 7, np.arange(n) % 5, np.arange(n) % 2, width=7, height=5)


def cut(events: Events, sizes: list[int]) -> list[Events]:
    """Pieces of these sizes, over and over; some are empty."""
    pieces, first = [], 0
    for size in itertools.cycle(sizes):
        if first >= len(events):
            return pieces
        pieces.append(events[first : first + size])
        first += size
    raise AssertionError


pieces = st.lists(st.integers(0, 9), min_size=1, max_size=5).map(lambda sizes: [*sizes, 1])


@ANY
@given(times, st.integers(1, 90), pieces)
def test_slices_by_time_that_follow_each_other_are_the_whole(t, window, sizes) -> None:
    events = events_at(t)
    slices = list(slice_by_time(cut(events, sizes), window, include_incomplete=True))
    assert all(part.end - part.start == window for part in slices)
    assert all(a.end == b.start for a, b in itertools.pairwise(slices))
    joined = np.concatenate([events.array[:0], *(part.events.array for part in slices)])
    assert np.array_equal(joined, events.array)


@ANY
@given(times, st.integers(1, 30), pieces)
def test_slices_by_count_that_follow_each_other_are_the_whole(t, window, sizes) -> None:
    events = events_at(t)
    slices = list(slice_by_count(cut(events, sizes), window, include_incomplete=True))
    assert all(len(part) == window for part in slices[:-1])
    joined = np.concatenate([events.array[:0], *(part.events.array for part in slices)])
    assert np.array_equal(joined, events.array)


@ANY
@given(times, st.integers(1, 90), st.integers(1, 130), pieces, st.sampled_from([None, -90, 40, 500]))
def test_by_time_each_slice_is_its_window(t, window, stride, sizes, start) -> None:
    events = events_at(t)
    found = list(slice_by_time(cut(events, sizes), window, stride, start=start))
    begin = (t[0] if t else 0) if start is None else start
    for k, part in enumerate(found):
        assert (part.start, part.end) == (begin + k * stride, begin + k * stride + window)
        assert np.array_equal(part.events.array, events.between(part.start, part.end).array)
    # the next one would not be complete
    assert not t or begin + len(found) * stride + window > t[-1]
    more = list(slice_by_time(cut(events, sizes), window, stride, start=start, include_incomplete=True))
    assert len(more) - len(found) in (0, 1)
    if stride <= window and t and begin <= t[0]:
        assert more[-1].end > t[-1]
        assert len({id_ for part in more for id_ in _places(events, part)}) == len(events)


@ANY
@given(times, st.integers(1, 20), st.integers(1, 30), pieces)
def test_by_count_each_slice_is_its_window(t, window, stride, sizes) -> None:
    events = events_at(t)
    found = list(slice_by_count(cut(events, sizes), window, stride))
    assert len(found) == max(0, (len(t) - window) // stride + 1)
    for k, part in enumerate(found):
        wanted = events[k * stride : k * stride + window].array
        assert np.array_equal(part.events.array, wanted)
        assert (part.start, part.end) == (wanted["t"][0], wanted["t"][-1])
    more = list(slice_by_count(cut(events, sizes), window, stride, include_incomplete=True))
    covered = max((k * stride + window for k in range(len(found))), default=0)
    rest = events[len(found) * stride :].array if covered < len(t) else events.array[:0]
    assert len(more) == len(found) + (len(rest) > 0)
    if len(rest):
        assert np.array_equal(more[-1].events.array, rest)


def _places(events: Events, part) -> range:
    first, last = np.searchsorted(events.array["t"], [part.start, part.end])
    return range(first, last)


def test_a_pause_gives_slices_without_events() -> None:
    slices = list(slice_by_time(events_at([0, 5, 45]), 10))
    assert [(part.start, len(part)) for part in slices] == [(0, 2), (10, 0), (20, 0), (30, 0)]
    assert all((part.events.width, part.events.height) == (7, 5) for part in slices)


def test_a_slice_is_given_as_soon_as_an_event_behind_it_was_seen() -> None:
    def live():
        yield events_at([0, 4])
        yield events_at([9, 10])
        raise AssertionError("one more piece than needed was asked for")

    assert len(next(slice_by_time(live(), 10))) == 3
    assert len(next(slice_by_count(live(), 3))) == 3


def test_a_recording_is_sliced_without_being_read_whole(tmp_path) -> None:
    count = 400_000
    rng = np.random.default_rng(0)
    whole = Events.of(
        np.arange(count) * 3, rng.integers(0, 64, count), rng.integers(0, 64, count), rng.integers(0, 2, count),
        width=64, height=64,
    )  # fmt: skip
    write_recording(tmp_path / "long.npz", whole)
    recording = open_recording(tmp_path / "long.npz", piece=5000)
    for slices in (slice_by_time(recording, 9_000, 4_500), slice_by_count(recording, 3_000, 1_500)):
        next(slices)
        tracemalloc.start()
        assert sum(len(part) for part in slices) > 790_000
        # 400,000 events are 5.2 MB
        assert tracemalloc.get_traced_memory()[1] < 1.5e6
        tracemalloc.stop()


def test_what_is_no_window_or_no_order_is_refused() -> None:
    events = events_at([0, 1, 2])
    with pytest.raises(
        ConfigError, match=r"slice_by_time got window=0; it takes a whole number of micro.* Ch"
    ):
        slice_by_time(events, 0)
    with pytest.raises(ConfigError, match=r"slice_by_time got stride=0.5; .* Change stride"):
        slice_by_time(events, 10, 0.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        ConfigError, match=r"slice_by_count got stride=-1; .* whole number of events from 1 on"
    ):
        slice_by_count(events, 10, -1)
    for slices in (slice_by_time([events, events], 10), slice_by_count([events, events], 10)):
        with pytest.raises(DataError, match=r"go back in time, from 2 to 0 us; .* Sort them"):
            list(slices)
    other = Events.of([5], [0], [0], [1], width=1, height=1)
    with pytest.raises(DataError, match=r"got parts of \[\(1, 1\), \(7, 5\)\] sensors; .* one"):
        list(slice_by_time([events, other], 4))
