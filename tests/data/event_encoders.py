"""Writers of published event files, from the formats' descriptions: they share nothing with the readers."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

Event = tuple[int, int, int, int]
"""t, x, y, p."""


def write_atis(path: Path, events: Sequence[Event]) -> None:
    """40 bits each; where 23 bits of time are not enough, entries in row 240 that stand for 8192 us each."""
    data, added = bytearray(), 0
    for t, x, y, p in events:
        while t - added >= 1 << 23:
            data += bytes([7, 240, 0, 0, 0])
            added += 1 << 13
        data += bytes([x, y]) + (p << 23 | (t - added)).to_bytes(3, "big")
    make(path).write_bytes(data)


def write_aedat2(path: Path, events: Sequence[Event], special: int = 0) -> None:
    """As jAER has a DVS128: both coordinates and the polarity the other way round; `special` signals in between."""
    data = b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n"
    for t, x, y, p in events:
        data += struct.pack(">II", (127 - y) << 8 | (127 - x) << 1 | (1 - p), t)
        data += struct.pack(">II", 1 << 15, t) * special
    make(path).write_bytes(data)


def aedat3_packet(events: Sequence[Event], *, kind: int = 1, spare: int = 0, valid: bool = True) -> bytes:
    """One packet, whose events are of one round of the clock; with places for `spare` more."""
    rounds = {t >> 31 for t, *_ in events} or {0}
    assert len(rounds) == 1
    head = struct.pack(
        "<HHIIIIII", kind, 1, 8, 4, rounds.pop(), len(events) + spare, len(events), len(events)
    )
    body = b"".join(
        struct.pack("<II", x << 17 | y << 2 | p << 1 | int(valid), t & 0x7FFFFFFF) for t, x, y, p in events
    )
    return head + body + bytes(8 * spare)


def write_aedat3(path: Path, packets: Sequence[bytes]) -> None:
    head = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    make(path).write_bytes(head + b"".join(packets))


def make(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
