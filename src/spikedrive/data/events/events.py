"""The one type that events have: a structured array, and the sensor that saw them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spikedrive.data.events.files.opened import structured
from spikedrive.errors import DataError, ShapeError

EVENT = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
"""Microseconds, column, row (0 is the top), polarity (1 brighter, 0 darker)."""


@dataclass(frozen=True, eq=False)
class Events:
    """Events in order of time, and the size of the sensor.

    `array` is structured with the fields t, x, y, p of `EVENT`, which tonic's transforms take as it is.

    *Shapes*: array (N,).
    *Units*: t in microseconds, on the recording's own clock; x and y in pixels.

    >>> events = Events.of([10, 25], [0, 3], [1, 1], [1, 0], width=4, height=2)
    >>> len(events), events.duration, events.between(20, 30).array["x"].tolist()
    (2, 15, [3])
    """

    array: np.ndarray
    width: int
    height: int

    @classmethod
    def of(cls, t: Any, x: Any, y: Any, p: Any, *, width: int, height: int) -> Events:
        """Events of four columns; polarity is 0 and 1, or -1 and 1, or a truth value.

        *Raises*: ShapeError for columns of other lengths; DataError as `check_events`.
        """
        columns = [np.asarray(column) for column in (t, x, y, p)]
        if any(column.ndim != 1 or len(column) != len(columns[0]) for column in columns):
            raise ShapeError(
                f"Events.of got columns of shapes {[column.shape for column in columns]}; it takes four of one length. "
                "Pass t, x, y and p of the same events."
            )
        array = structured(dict(zip(("t", "x", "y", "p"), columns, strict=True)))
        return check_events(array, width=width, height=height)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, part: slice) -> Events:
        return Events(self.array[part], self.width, self.height)

    @property
    def duration(self) -> int:
        """Microseconds from the first event to the last; 0 without events."""
        return int(self.array["t"][-1] - self.array["t"][0]) if len(self) else 0

    def between(self, start: float, end: float) -> Events:
        """The events with start <= t < end, as a view."""
        first, last = np.searchsorted(self.array["t"], [start, end])
        return self[first:last]

    @staticmethod
    def joined(parts: list[Events]) -> Events:
        """One after the other; all of one sensor, and at least one.

        *Raises*: DataError for none, or several sensors.
        """
        sizes = {(part.width, part.height) for part in parts}
        if len(sizes) != 1:
            raise DataError(
                f"Events.joined got parts of {sorted(sizes) or 'no'} sensors; it takes parts of one. Join those of one "
                "recording."
            )
        ((width, height),) = sizes
        return Events(np.concatenate([part.array for part in parts]), width, height)

    def pieces(self, most: int) -> Iterator[Events]:
        """Views of at most so many events, in order."""
        for first in range(0, len(self), most):
            yield self[first : first + most]


@dataclass
class Repairs:
    """How many events were dropped, and why; a recording counts on while it is read.

    >>> str(Repairs(outside=3))
    '3 events outside the sensor, 0 earlier than one before them: dropped'
    """

    outside: int = 0
    backwards: int = 0
    _last: int = field(default=np.iinfo(np.int64).min, repr=False)

    @property
    def count(self) -> int:
        """All of them."""
        return self.outside + self.backwards

    def __str__(self) -> str:
        return f"{self.outside} events outside the sensor, {self.backwards} earlier than one before them: dropped"


def check_events(array: np.ndarray, *, width: int, height: int, repairs: Repairs | None = None) -> Events:
    """Events of a structured array with fields t, x, y and p, whatever their types and order.

    With `repairs` an event outside the sensor, or earlier than one before it, is dropped and counted; times are then
    compared with those of earlier calls too.

    *Shapes*: array (N,).
    *Raises*: DataError for fields that are missing, numbers that no event has, and, without `repairs`, the first event
    that is outside the sensor or earlier than the one before it.
    """
    names = array.dtype.names or ()
    if array.ndim != 1 or not {"t", "x", "y", "p"} <= set(names):
        raise DataError(
            f"Events came as an array of shape {array.shape} with fields {', '.join(names) or 'none'}; a structured "
            "array (N,) with t, x, y, p is taken. Build one with Events.of."
        )
    columns = {name: array[name] for name in ("t", "x", "y", "p")}
    for name in ("t", "x", "y"):
        _check_whole(name, columns[name])
    polarity = columns["p"].astype(np.float64)
    wrong = ~np.isin(polarity, (-1, 0, 1))
    if wrong.any():
        raise DataError(
            f"Event {int(wrong.argmax())} has the polarity {columns['p'][wrong.argmax()]}; 0 and 1, or -1 and 1 are "
            "taken. Map the values first."
        )
    outside = (columns["x"] < 0) | (columns["x"] >= width) | (columns["y"] < 0) | (columns["y"] >= height)
    time = columns["t"].astype(np.int64)
    reached = repairs._last if repairs is not None else np.iinfo(np.int64).min
    kept = ~outside
    # an event that is dropped as outside says nothing of the time
    front = np.maximum.accumulate(np.where(kept, np.maximum(time, reached), reached)) if len(time) else time
    backwards = kept & (time < front)
    if repairs is None:
        _refuse(columns, outside, backwards, width, height)
    else:
        repairs.outside += int(outside.sum())
        repairs.backwards += int(backwards.sum())
        repairs._last = int(front[-1]) if len(front) else reached
    kept &= ~backwards
    found = np.empty(int(kept.sum()), EVENT)
    for name in ("x", "y"):
        found[name] = columns[name][kept]
    found["t"], found["p"] = time[kept], polarity[kept] > 0
    return Events(found, width, height)


def _check_whole(name: str, column: np.ndarray) -> None:
    if column.dtype.kind in "iu":
        return
    if column.dtype.kind != "f" or not np.isfinite(column).all() or (column != np.floor(column)).any():
        raise DataError(
            f"The events' {name} came as {column.dtype}; whole numbers are taken (t in microseconds, x and y in "
            "pixels). Convert them first."
        )


def _refuse(
    columns: dict[str, np.ndarray], outside: np.ndarray, backwards: np.ndarray, width: int, height: int
) -> None:
    what = "Give the sensor's size, or have such events dropped and counted (repair=True)."
    if outside.any():
        i = int(outside.argmax())
        raise DataError(
            f"Event {i} is at x = {columns['x'][i]}, y = {columns['y'][i]}, and {int(outside.sum())} in all are "
            f"outside a sensor of {width} x {height}. {what}"
        )
    if backwards.any():
        i = int(backwards.argmax())
        raise DataError(
            f"Event {i} is at t = {columns['t'][i]}, earlier than one before it, and so are {int(backwards.sum())} in "
            "all; events are taken in order of time. Sort them, or have such events dropped and counted (repair=True)."
        )
