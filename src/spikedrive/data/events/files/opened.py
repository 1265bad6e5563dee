"""What every format gives: the sensor's size, and arrays of events one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Opened:
    """A file whose header was read; `pieces(most)` reads it from the beginning."""

    width: int
    height: int
    pieces: Callable[[int], Iterator[np.ndarray]]


def structured(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """One array with these columns as its fields, each in its own type."""
    count = len(next(iter(columns.values())))
    array = np.empty(count, [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        array[name] = column
    return array
