"""Readers of event files that share nothing with the library: the formats' own descriptions, word by word."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from spikedrive.data.events import EVENT


def _array(rows: list[tuple[int, int, int, int]]) -> np.ndarray:
    return np.array(rows, EVENT)


def _behind_header(data: bytes) -> bytes:
    while data.startswith(b"%"):
        data = data[data.index(b"\n") + 1 :]
    return data


def _offset(data: bytes) -> int:
    """Microseconds that a header adds to every time."""
    for line in data.split(b"\n"):
        if line.startswith(b"% t0 "):
            return int(line.split()[-1])
    return 0


def read_evt2(path: Path) -> np.ndarray:
    """Words of 32 bits: kind (4), low time (6), x (11), y (11); kind 8 sets the high 28 bits of the time."""
    data, high, rows = path.read_bytes(), 0, []
    for (word,) in struct.iter_unpack("<I", _behind_header(data)):
        kind = word >> 28
        if kind == 8:
            high = word & 0xFFFFFFF
        elif kind in (0, 1):
            rows.append(((high << 6) | (word >> 22) & 63, (word >> 11) & 2047, word & 2047, kind))
    return _array(rows)


def read_evt3(path: Path) -> np.ndarray:
    """Words of 16 bits, each a kind (4) and a value (12) that changes a state, or an event, or a vector of them."""
    data, rows = path.read_bytes(), []
    low = high = loops = y = base = polarity = 0
    for (word,) in struct.iter_unpack("<H", _behind_header(data)):
        kind, value = word >> 12, word & 0xFFF
        if kind == 0x0:
            y = value & 0x7FF
        elif kind == 0x6:
            low = value
        elif kind == 0x8:
            loops += value < high
            high, low = value, low if value == high else 0
        elif kind == 0x3:
            base, polarity = value & 0x7FF, value >> 11
        t = (loops << 24) | (high << 12) | low
        if kind == 0x2:
            rows.append((t, value & 0x7FF, y, value >> 11))
        elif kind in (0x4, 0x5):
            width = 12 if kind == 0x4 else 8
            rows += [(t, base + i, y, polarity) for i in range(width) if value >> i & 1]
            base += width
    return _array(rows)


def read_dat(path: Path) -> np.ndarray:
    """Behind two bytes: time (32), then x (14), y (14) and polarity (4) in a word."""
    data = path.read_bytes()
    words = _behind_header(data)[2:]
    return _array([(t, w & 0x3FFF, w >> 14 & 0x3FFF, w >> 28) for t, w in struct.iter_unpack("<II", words)])


def read_es(path: Path) -> np.ndarray:
    """A byte of time since the last event (7) and polarity (1), x, y; a byte of ones is 127 us without an event."""
    data, rows = path.read_bytes(), []
    assert data[:12] == b"Event Stream" and data[15] == 1
    height = struct.unpack("<H", data[18:20])[0]
    place, t = 20, 0
    while place < len(data):
        first = data[place]
        if first >= 0xFE:
            t, place = t + 127 * (1 if first == 0xFF else 0), place + 1
            continue
        t += first >> 1
        x, y = struct.unpack_from("<HH", data, place + 1)
        rows.append((t, x, height - 1 - y, first & 1))
        place += 5
    return _array(rows)


def read_csv(path: Path) -> np.ndarray:
    """Lines of t, x, y, p behind a header."""
    table = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.int64, ndmin=2)
    return _array([tuple(row) for row in table.tolist()])
