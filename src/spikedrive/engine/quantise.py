"""Real numbers as integers times powers of two.

Weights have one power of two per output channel; everything that is added up in one membrane stream
has one power of two together, into which each channel's sums are shifted left.
"""

from __future__ import annotations

import math

import numpy as np

from spikedrive.errors import LoweringError

GUARD_BITS = 6
"""How much finer than `weight_bits` below its threshold a stream may become for channels of small weights."""
BIAS_BITS = 16
"""How much finer than its smallest threshold a stream is at least, so that biases round well."""


def largest(bits: int) -> int:
    """The largest magnitude of a signed integer of `bits`; the range is symmetric."""
    return 2 ** (bits - 1) - 1


def best_exponents(weight: np.ndarray, bits: int) -> np.ndarray:
    """The power of two of each row of `weight` (K, n) with the smallest squared error.

    The candidates are the smallest that clips nothing and the next finer one, which clips a little.
    A row of zeros gets the smallest exponent of all.

    >>> best_exponents(np.array([[127.0, 1.0], [1.0, 0.5]]), 8)
    array([ 0, -6])
    """
    peaks = np.abs(weight).max(axis=1, initial=0.0)
    coarse = np.ceil(np.log2(np.where(peaks > 0, peaks, 1.0) / largest(bits))).astype(np.int64)
    errors = [_squared_error(weight, coarse - finer, bits) for finer in (0, 1)]
    best = np.where(errors[1] < errors[0], coarse - 1, coarse)
    return np.where(peaks > 0, best, best.min(initial=0))


def to_integers(weight: np.ndarray, exponents: np.ndarray, bits: int) -> np.ndarray:
    """`weight` (K, ...) in units of 2**exponents (K,), rounded and clipped to `bits`, in the smallest type."""
    rounded = np.clip(np.round(dequantise(weight, -exponents)), -largest(bits), largest(bits))
    return rounded.astype(np.int8 if bits <= 8 else np.int16 if bits <= 16 else np.int32)


def dequantise(integers: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """The real numbers of `integers` (K, ...) in units of 2**exponents (K,), exactly."""
    # a factor 2**exponent of its own would overflow where the result does not
    return np.ldexp(np.asarray(integers, float), exponents.reshape(-1, *[1] * (integers.ndim - 1)))


def to_unit(real: np.ndarray, exponent: int, divisor: int = 1) -> np.ndarray:
    """`real` in units of 2**exponent / divisor, rounded, as int32 or, where that is too small, int64."""
    units = np.round(np.asarray(real, float) * 2.0**-exponent * divisor)
    return units.astype(np.int32 if np.abs(units).max(initial=0) < 2**31 else np.int64)


class Stream:
    """The exponent that everything adding into one membrane shares, found once all of it is known.

    Streams that meet in an addition become one (`join`), up to a fixed difference of their exponents.
    """

    def __init__(self) -> None:
        self._parent: Stream | None = None
        self._offset = 0
        self._writers: list[tuple[np.ndarray, int]] = []
        self._limits: list[int] = []
        self._thresholds: list[int] = []

    def write(self, exponents: np.ndarray, margin: int) -> None:
        """Sums in units of 2**exponents (K,) go in, over inputs of up to 2**margin."""
        root, offset = self._root()
        root._writers.append((exponents - offset, margin))

    def limit(self, exponent: int) -> None:
        """Integers in units of 2**exponent go in as they are, so the stream is no coarser."""
        root, offset = self._root()
        root._limits.append(exponent - offset)

    def threshold(self, log2: int) -> None:
        """A neuron with a threshold of about 2**log2 reads it."""
        root, offset = self._root()
        root._thresholds.append(log2 - offset)

    def join(self, other: Stream, offset: int) -> None:
        """From now on this exponent = the other's + offset."""
        (mine, my_offset), (its, its_offset) = self._root(), other._root()
        if mine is its:
            return
        # exponent(mine) = exponent(its) + shift
        shift = its_offset + offset - my_offset
        mine._parent, mine._offset = its, shift
        its._writers += [(exponents - shift, margin) for exponents, margin in mine._writers]
        its._limits += [limit - shift for limit in mine._limits]
        its._thresholds += [threshold - shift for threshold in mine._thresholds]

    def difference(self, other: Stream) -> int | None:
        """This exponent minus the other's, or None where they are not one stream."""
        (mine, my_offset), (its, its_offset) = self._root(), other._root()
        return my_offset - its_offset if mine is its else None

    def exponent(self, bits: int) -> int:
        """As fine as the finest channel that goes in, within bounds set by the smallest threshold.

        Where no neuron reads the stream the largest weight stands for the threshold.
        """
        root, offset = self._root()
        if root._thresholds:
            unit = min(root._thresholds)
        else:
            unit = max((int(e.max()) + bits - 1 for e, _ in root._writers if e.size), default=0)
        finest = [
            max(int(e.min()), unit - bits - GUARD_BITS - margin) for e, margin in root._writers if e.size
        ]
        return min([*finest, *root._limits, unit - BIAS_BITS]) + offset

    def _root(self) -> tuple[Stream, int]:
        offset, stream = 0, self
        while stream._parent is not None:
            offset, stream = offset + stream._offset, stream._parent
        return stream, offset


def power_of_two(number: float) -> int | None:
    """log2 of `number` where it is a power of two, else None.

    >>> power_of_two(0.125), power_of_two(0.3)
    (-3, None)
    """
    if not (math.isfinite(number) and number > 0):
        return None
    mantissa, exponent = math.frexp(number)
    return exponent - 1 if mantissa == 0.5 else None


def check_finite(name: str, weight: np.ndarray) -> None:
    """Raise LoweringError where a parameter is not finite."""
    if not np.isfinite(weight).all():
        raise LoweringError(
            f"The parameters of {name} hold NaN or infinity; a program takes finite numbers. Train again, or load "
            "another checkpoint."
        )


def _squared_error(weight: np.ndarray, exponents: np.ndarray, bits: int) -> np.ndarray:
    return ((dequantise(to_integers(weight, exponents, bits), exponents) - weight) ** 2).sum(axis=1)
