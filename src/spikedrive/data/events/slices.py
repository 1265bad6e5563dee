"""Slices of a stream of events: by time or by count, overlapping or not, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from spikedrive.data.events.events import Events
from spikedrive.errors import ConfigError, DataError


@dataclass(frozen=True, eq=False)
class Slice:
    """Some events and the time that they stand for, which a slice without events has too.

    *Units*: `start` and `end` in microseconds. By time the slice holds start <= t < end; by count they are the times of
    its first and last event.
    """

    events: Events
    start: int
    end: int

    def __len__(self) -> int:
        return len(self.events)


def slice_by_time(
    events: Events | Iterable[Events],
    window: int,
    stride: int | None = None,
    *,
    start: int | None = None,
    include_incomplete: bool = False,
) -> Iterator[Slice]:
    """Slices of `window` microseconds, one every `stride`; without a stride they follow each other.

    The k-th one holds the events with start + k stride <= t < start + k stride + window, where `start` is the first
    event's time unless given. Windows overlap where stride < window, and events between them are left out where
    stride > window. A pause gives slices without events, so that a live view keeps its clock. `events` is read piece
    by piece (a `Recording`, or any iterator over pieces in order), and no more than a window and a piece is held. A
    slice is given as soon as an event behind it was seen; the rest after the last one, in a window that the recording
    does not fill, is one slice more with `include_incomplete`, else left out.

    *Units*: window, stride and start in microseconds.
    *Raises*: ConfigError for a window or stride below 1 or that is not whole; DataError for pieces that go back in time
    or are of several sensors.

    >>> events = Events.of([0, 3, 25, 30], [0] * 4, [0] * 4, [1] * 4, width=1, height=1)
    >>> [(part.start, len(part)) for part in slice_by_time(events, 10, include_incomplete=True)]
    [(0, 2), (10, 0), (20, 1), (30, 1)]
    """
    stride = _checked("slice_by_time", "microseconds", window, stride)
    return _by_time(_in_order(_pieces(events)), window, stride, start, include_incomplete)


def slice_by_count(
    events: Events | Iterable[Events],
    window: int,
    stride: int | None = None,
    *,
    include_incomplete: bool = False,
) -> Iterator[Slice]:
    """Slices of `window` events, one every `stride` events; without a stride they follow each other.

    Windows overlap where stride < window, and events between them are left out where stride > window. `events` is read
    piece by piece, as in `slice_by_time`. The events behind the last whole slice are, together with what it would
    share with the one before, one slice more with `include_incomplete`, else left out.

    *Units*: window and stride in events.
    *Raises*: ConfigError for a window or stride below 1 or that is not whole; DataError for pieces that go back in time
    or are of several sensors.

    >>> events = Events.of([0, 3, 25, 30], [0] * 4, [0] * 4, [1] * 4, width=1, height=1)
    >>> [(part.start, part.end) for part in slice_by_count(events, 2, stride=1)]
    [(0, 3), (3, 25), (25, 30)]
    """
    stride = _checked("slice_by_count", "events", window, stride)
    return _by_count(_in_order(_pieces(events)), window, stride, include_incomplete)


def _checked(owner: str, unit: str, window: int, stride: int | None) -> int:
    for name, value in (("window", window), ("stride", window if stride is None else stride)):
        if value != int(value) or value < 1:
            raise ConfigError(
                f"{owner} got {name}={value}; it takes a whole number of {unit} from 1 on. Change {name}."
            )
    return window if stride is None else stride


def _pieces(events: Events | Iterable[Events]) -> Iterator[Events]:
    return iter([events] if isinstance(events, Events) else events)


def _in_order(pieces: Iterator[Events]) -> Iterator[Events]:
    """The pieces that hold events."""
    last = None
    for piece in pieces:
        if not len(piece):
            continue
        first = int(piece.array["t"][0])
        if last is not None and first < last:
            raise DataError(
                f"The pieces go back in time, from {last} to {first} us; slices are cut from pieces in order of time. "
                "Sort them, or open the recording with repair=True."
            )
        last = int(piece.array["t"][-1])
        yield piece


def _by_time(
    pieces: Iterator[Events], window: int, stride: int, start: int | None, include_incomplete: bool
) -> Iterator[Slice]:
    held: list[Events] = []
    reached, given = None, None
    for piece in pieces:
        start = int(piece.array["t"][0]) if start is None else start
        reached = int(piece.array["t"][-1])
        held.append(_since(piece, start))
        if reached < start + window:
            continue
        whole = Events.joined(held)
        while start + window <= reached:
            given = start + window
            yield Slice(whole.between(start, given), start, given)
            start += stride
        held = [_since(whole, start)]
    if not include_incomplete or start is None or reached is None:
        return
    # what the last slice held already is no reason for one more
    if start <= reached and (given is None or given <= reached):
        yield Slice(Events.joined(held), start, start + window)


def _by_count(
    pieces: Iterator[Events], window: int, stride: int, include_incomplete: bool
) -> Iterator[Slice]:
    # `skipped` events of the next piece lie between two windows, the first `shown` of the held ones were given before
    held: list[Events] = []
    skipped = shown = 0
    for piece in pieces:
        held.append(piece[skipped:])
        skipped = max(0, skipped - len(piece))
        if sum(map(len, held)) < window:
            continue
        whole, first = Events.joined(held), 0
        while first + window <= len(whole):
            yield _counted(whole[first : first + window])
            first += stride
        skipped, shown = max(0, first - len(whole)), max(0, window - stride)
        held = [whole[first:]]
    if include_incomplete and sum(map(len, held)) > shown:
        yield _counted(Events.joined(held))


def _counted(events: Events) -> Slice:
    return Slice(events, int(events.array["t"][0]), int(events.array["t"][-1]))


def _since(events: Events, start: int) -> Events:
    return events[int(np.searchsorted(events.array["t"], start)) :]
