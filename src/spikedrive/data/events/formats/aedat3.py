"""AEDAT 3.1, of which a part can be read without the rest."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from spikedrive.data.events.files.opened import structured
from spikedrive.errors import DataError

_VERSION = b"#!AER-DAT3"
_END = b"#!END-HEADER\r\n"
_PACKET = struct.Struct("<HHIIIIII")
_EVENT = np.dtype([("data", "<u4"), ("t", "<u4")])
_POLARITY = 1


@dataclass(frozen=True)
class Packet:
    """Where a packet's events lie, how many, what is added to their times, and their first and last time."""

    place: int
    count: int
    since: int
    first: int
    last: int


def read_aedat3(path: Path, start: int | None = None, end: int | None = None) -> np.ndarray:
    """The polarity events with start <= t < end, or all; only packets that hold some of them are read.

    An event has 32 bits of data (valid, polarity, 15 of y, 15 of x, the lowest first) and 31 of microseconds, to which
    the packet adds how often they went round. Events that are marked as invalid, and packets of other kinds, are left
    out.

    *Shapes*: structured (N,) with t, x, y, p.
    *Units*: start and end in microseconds of the recording's clock.
    *Raises*: DataError for a file of another kind, or one that ends inside a packet.
    *Source*: the description of AEDAT 3.1 by iniVation.
    """
    low = -1 if start is None else start
    high = 1 << 62 if end is None else end
    packets = [packet for packet in _packets(path) if packet.last >= low and packet.first < high]
    if not packets:
        return structured({name: np.zeros(0, np.int64) for name in ("t", "x", "y", "p")})
    with path.open("rb") as file:
        parts = []
        for packet in packets:
            file.seek(packet.place)
            events = np.frombuffer(file.read(packet.count * _EVENT.itemsize), _EVENT)
            parts.append((events["data"].astype(np.int64), events["t"].astype(np.int64) + packet.since))
    data, t = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    kept = ((data & 1) == 1) & (t >= low) & (t < high)
    columns = {"t": t, "x": data >> 17 & 0x7FFF, "y": data >> 2 & 0x7FFF, "p": data >> 1 & 1}
    return structured(columns)[kept]


def _packets(path: Path) -> tuple[Packet, ...]:
    found = path.stat()
    return _index(path, found.st_size, found.st_mtime_ns)


# clips of one recording follow each other, and an index is small beside its recording
@lru_cache(maxsize=8)
def _index(path: Path, size: int, _changed: int) -> tuple[Packet, ...]:
    with path.open("rb") as file:
        start = file.read(1 << 16)
        if not start.startswith(_VERSION):
            raise DataError(
                f"{path} begins with {start[:12]!r}; AEDAT 3.1 begins with {_VERSION.decode()}. Check what kind it is."
            )
        place = start.find(_END) + len(_END)
        if place < len(_END):
            raise DataError(
                f"{path} has no {_END.strip().decode()} in its first {len(start)} bytes; a header of AEDAT 3.1 ends "
                "with it. Copy it again."
            )
        if place == size:
            return ()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return tuple(_walk(path, data, place, size))


def _walk(path: Path, data: mmap.mmap, place: int, size: int) -> list[Packet]:
    found = []
    while place < size:
        if place + _PACKET.size > size:
            raise _truncated(path, place)
        kind, _, each, offset, overflow, capacity, count, _ = _PACKET.unpack_from(data, place)
        place += _PACKET.size
        if place + capacity * each > size:
            raise _truncated(path, place - _PACKET.size)
        if kind == _POLARITY and count:
            if (each, offset) != (_EVENT.itemsize, 4) or count > capacity:
                raise DataError(
                    f"{path} has a packet of {count} of {capacity} polarity events of {each} bytes with their time at "
                    f"{offset}; AEDAT 3.1 has 8 bytes with the time at 4. It is damaged: copy it again."
                )
            times = np.frombuffer(data, _EVENT, count, place)["t"]
            since = overflow << 31
            # a view would keep the file mapped
            found.append(Packet(place, count, since, int(times.min()) + since, int(times.max()) + since))
            del times
        place += capacity * each
    return found


def _truncated(path: Path, place: int) -> DataError:
    return DataError(
        f"{path} ends inside the packet at byte {place}; it is truncated. Copy it again, or cut it off there where the "
        "rest is wanted."
    )
