"""Prophesee's DAT, of which a part can be read without the rest."""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikedrive.data.events.files.opened import structured
from spikedrive.errors import DataError

_EVENT = np.dtype([("t", "<u4"), ("data", "<u4")])
_HEADER = 1 << 16


@dataclass(frozen=True)
class DatFile:
    """Where the events of a file begin, how many there are, and the sensor's size where the header says it."""

    path: Path
    place: int
    count: int
    size: tuple[int, int] | None

    def between(self, start: int, end: int) -> np.ndarray:
        """The events with start <= t < end: of each time 32 bits, then 14 of x, 14 of y and 4 of polarity.

        *Shapes*: structured (N,) with t, x, y, p.
        *Units*: microseconds of the recording's clock.
        """
        if not self.count:
            return structured({name: np.zeros(0, np.int64) for name in ("t", "x", "y", "p")})
        events = np.memmap(self.path, _EVENT, "r", offset=self.place, shape=(self.count,))
        # numpy's own search would read the whole column
        first, last = (bisect.bisect_left(events["t"], at) for at in (max(start, 0), max(end, 0)))
        t, data = (events[name][first:last].astype(np.int64) for name in ("t", "data"))
        return structured({"t": t, "x": data & 0x3FFF, "y": data >> 14 & 0x3FFF, "p": (data >> 28 & 0xF) > 0})


def open_dat(path: Path) -> DatFile:
    """Read the header: lines of %, and two bytes with the kind and the size of an event.

    *Raises*: DataError for a file of another kind, or one that ends inside an event.
    *Source*: the description of DAT by Prophesee.
    """
    with path.open("rb") as file:
        start = file.read(_HEADER)
    lines = re.match(rb"(?:%[^\n]*\n)+", start)
    if lines is None or start[lines.end() + 1 : lines.end() + 2] != bytes([_EVENT.itemsize]):
        raise DataError(
            f"{path} does not begin with lines of % and events of {_EVENT.itemsize} bytes, as DAT does; it is of "
            "another kind. Check it."
        )
    place = lines.end() + 2
    count, left = divmod(path.stat().st_size - place, _EVENT.itemsize)
    if left:
        raise DataError(
            f"{path} ends inside an event of {_EVENT.itemsize} bytes; it is truncated. Copy it again, or cut the last "
            f"{left} bytes off where the rest is wanted."
        )
    said = [re.search(rb"%\s*" + name + rb"\s+(\d+)", lines.group(0), re.I) for name in (b"width", b"height")]
    size = (int(said[0].group(1)), int(said[1].group(1))) if said[0] and said[1] else None
    return DatFile(path, place, count, size)
