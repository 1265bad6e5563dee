"""The 40-bit events of N-MNIST and N-Caltech101."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikedrive.data.events.files.opened import structured
from spikedrive.errors import DataError

_BYTES = 5
_OVERFLOW_ROW = 240
_OVERFLOW = 1 << 13


def read_atis(path: Path) -> np.ndarray:
    """The events of a .bin file: x (8 bits), y (8), polarity (1), microseconds (23), the highest bit first.

    An entry in row 240 is no event; it says that the clock went round, and adds 8192 us to all behind it.

    *Shapes*: structured (N,) with t, x, y, p.
    *Raises*: DataError for a file that ends inside an event.
    *Source*: Orchard et al., Frontiers in Neuroscience 9 (2015) 437, and the readme of N-MNIST.
    """
    data = np.fromfile(path, np.uint8)
    if len(data) % _BYTES:
        raise DataError(
            f"{path} has {len(data)} bytes, which are no whole events of {_BYTES}; it is truncated or of another kind. "
            "Copy it again."
        )
    x, y, high, middle, low = data.reshape(-1, _BYTES).T.astype(np.int64)
    overflow = y == _OVERFLOW_ROW
    t = ((high & 0x7F) << 16 | middle << 8 | low) + np.cumsum(overflow) * _OVERFLOW
    return structured({"t": t, "x": x, "y": y, "p": high >> 7})[~overflow]
