"""PNG of three channels of 16 bits, which Pillow cuts down to 8."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from spikedrive.errors import DataError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BYTES = 6
_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)


def read_png16(path: Path) -> np.ndarray:
    """The picture, red first.

    *Shapes*: (H, W, 3) uint16.
    *Raises*: DataError for another kind of picture, or a damaged one.
    *Source*: the PNG specification, ISO/IEC 15948.
    """
    try:
        return _decode(path.read_bytes())
    except (ValueError, struct.error, zlib.error, IndexError) as error:
        raise DataError(
            f"{path} cannot be read as a PNG of three channels of 16 bits: {error}. It is truncated or of another "
            "kind; copy it again."
        ) from error


def _decode(data: bytes) -> np.ndarray:
    chunks = list(_chunks(data))
    width, height, *kind = struct.unpack(">IIBBBBB", dict(chunks)[b"IHDR"])
    if kind != [16, 2, 0, 0, 0]:
        raise ValueError(f"it has {kind[0]} bits of colour type {kind[1]}, interlaced {kind[4]}")
    packed = b"".join(body for name, body in chunks if name == b"IDAT")
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + width * _BYTES)
    if rows[:, 0].max(initial=0) > _PAETH:
        raise ValueError(f"it has a filter {rows[:, 0].max()}")
    pixels = _unfilter(rows[:, 0], rows[:, 1:].reshape(height, width, _BYTES).astype(np.int16))
    return (
        pixels.astype(np.uint8)
        .reshape(height, width * _BYTES)
        .view(">u2")
        .reshape(height, width, 3)
        .astype("=u2")
    )


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    if not data.startswith(_SIGNATURE):
        raise ValueError(f"it begins with {data[:8]!r}")
    found, place = [], len(_SIGNATURE)
    while not found or found[-1][0] != b"IEND":
        (size,) = struct.unpack_from(">I", data, place)
        name, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        (check,) = struct.unpack_from(">I", data, place + 8 + size)
        if zlib.crc32(name + body) != check:
            raise ValueError(f"its part {name!r} is damaged")
        found.append((name, body))
        place += 12 + size
    if found[0][0] != b"IHDR":
        raise ValueError("it has no header")
    return found


def _unfilter(filters: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Add to each pixel what its row's filter foretells of its neighbours to the left and above.

    A pixel waits for these two and the one between: pixels of one anti-diagonal wait for no other of it.

    Shapes: filters (H,), rest (H, W, bytes) -> (H, W, bytes).
    """
    height, width, depth = rest.shape
    out = np.zeros((height + 1, width + 1, depth), np.int16)
    for diagonal in range(height + width - 1):
        row = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        column = diagonal - row
        left, above, corner = out[row + 1, column], out[row, column + 1], out[row, column]
        to_left, to_above = np.abs(above - corner), np.abs(left - corner)
        to_corner = np.abs(left + above - 2 * corner)
        paeth = np.where(
            (to_left <= to_above) & (to_left <= to_corner),
            left,
            np.where(to_above <= to_corner, above, corner),
        )
        foretold = np.choose(filters[row, None], [np.int16(0), left, above, (left + above) // 2, paeth])
        out[row + 1, column + 1] = (rest[row, column] + foretold) & 0xFF
    return out[1:, 1:]
