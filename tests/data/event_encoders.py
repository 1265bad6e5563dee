"""Writers of published event files, from the formats' descriptions: they share nothing with the readers."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

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


def write_dat(path: Path, events: Sequence[Event], header: bytes) -> None:
    """Two words an event: its time; x, y and polarity in 14, 14 and 4 bits."""
    body = b"".join(struct.pack("<II", t, x | y << 14 | p << 28) for t, x, y, p in events)
    make(path).write_bytes(header + bytes([0, 8]) + body)


def png16(picture: np.ndarray, filters: Sequence[int], parts: int = 1) -> bytes:
    """A PNG of (H, W, 3) numbers of 16 bits, each row behind a filter of its own, byte by byte as the standard says."""
    height, width, _ = picture.shape
    rows = [b"".join(int(v).to_bytes(2, "big") for v in row.reshape(-1)) for row in picture]
    data, above = bytearray(), bytes(width * 6)
    for kind, row in zip(filters, rows, strict=True):
        data.append(kind)
        for i, value in enumerate(row):
            left, corner = (row[i - 6], above[i - 6]) if i >= 6 else (0, 0)
            guess = (0, left, above[i], (left + above[i]) // 2, _paeth(left, above[i], corner))[kind]
            data.append((value - guess) % 256)
        above = row
    packed = zlib.compress(bytes(data))
    size = -(-len(packed) // parts)
    body = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)), (b"tIME", bytes(7))]
    body += [(b"IDAT", packed[i : i + size]) for i in range(0, len(packed), size)] + [(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part))
        for name, part in body
    )


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    return min((left, above, corner), key=lambda value: abs(guess - value))
