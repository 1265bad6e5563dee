"""AEDAT 2.0 of a DVS128, as jAER writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikedrive.data.events.files.opened import structured
from spikedrive.errors import DataError

_RECORD = np.dtype([("address", ">u4"), ("t", ">u4")])
_VERSION = b"#!AER-DAT2"
_SPECIAL = 1 << 15


def read_aedat2(path: Path) -> np.ndarray:
    """The addresses of a DVS128, behind lines of #: 32 bits each of address and microseconds, the highest byte first.

    Bit 0 of an address is 0 for brighter, bits 1 to 7 and 8 to 14 are two coordinates, both counted down from 127;
    which is x depends on how the camera stood: `x` are bits 1 to 7 here. Addresses with bit 15 are signals from
    outside, no pixels, and are left out.

    *Shapes*: structured (N,) with t, x, y, p.
    *Raises*: DataError for a file of another kind, or one that ends inside an event.
    *Source*: the description of AEDAT 2.0 by iniVation.
    """
    data = path.read_bytes()
    if not data.startswith(_VERSION):
        raise DataError(
            f"{path} begins with {data[:12]!r}; AEDAT 2.0 begins with {_VERSION.decode()}. Check what kind it is."
        )
    place = 0
    while data.startswith(b"#", place):
        end = data.find(b"\n", place)
        place = len(data) if end < 0 else end + 1
    if (len(data) - place) % _RECORD.itemsize:
        raise DataError(
            f"{path} ends inside an event of {_RECORD.itemsize} bytes; it is truncated. Copy it again."
        )
    records = np.frombuffer(data, _RECORD, offset=place)
    address = records["address"].astype(np.int64)
    columns = {
        "t": records["t"].astype(np.int64),
        "x": 127 - (address >> 1 & 0x7F),
        "y": 127 - (address >> 8 & 0x7F),
        "p": 1 - (address & 1),
    }
    return structured(columns)[(address & _SPECIAL) == 0]
