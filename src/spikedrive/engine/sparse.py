"""Convolutions of sparse maps at their active sites only, in integers: a rule-book once, then additions for what fired.

A rule-book says which active sites lie under the taps of a kernel around each active site. It costs one look-up a site
and tap, and serves every layer that has the same sites and kernel. Needs numpy only.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np

from spikedrive import native
from spikedrive.errors import ConfigError, DtypeError, ShapeError, ValueRangeError, unknown_name

RUNTIMES = ("native", "numpy")


class Rulebook:
    """Which active sites each tap of a kernel finds around each active site.

    *Shapes*: coordinates int32 (N, 3) as (batch, row, column) or (N, 4) as (batch, plane, row, column), each site once;
    `kernel` is one odd size, or one for each axis behind the batch index.
    *Raises*: ShapeError, DtypeError; ValueRangeError for a site that is there twice.
    *Source*: Graham and van der Maaten, arXiv:1706.01307: submanifold convolutions. Ours are of integers.

    >>> rules = Rulebook(np.array([[0, 5, 5], [0, 5, 6], [0, 9, 9]], np.int32), kernel=3)
    >>> [array.tolist() for array in rules.arrays()]  # the first two see each other, and each site itself
    [[0, 2, 4, 5], [4, 5, 3, 4, 4], [0, 1, 0, 1, 2]]
    """

    def __init__(self, coordinates: Any, kernel: int | Sequence[int]) -> None:
        sites = np.asarray(coordinates)
        if sites.ndim != 2 or sites.shape[1] not in (3, 4):
            raise ShapeError(
                f"Rulebook got coordinates of shape {sites.shape}; it takes (N, 3) or (N, 4), the batch index first. "
                "Give a column of zeros for one sample."
            )
        if sites.dtype != np.int32:
            raise DtypeError(
                f"Rulebook got coordinates of dtype {sites.dtype}; it takes int32. "
                "Convert them: x.astype(np.int32)."
            )
        axes = sites.shape[1] - 1
        self.kernel = (kernel,) * axes if isinstance(kernel, int) else tuple(kernel)
        if len(self.kernel) != axes or any(size < 1 or size % 2 == 0 for size in self.kernel):
            raise ShapeError(
                f"Rulebook got the kernel {self.kernel} for sites of {axes} axes; it takes one odd size, or one an "
                "axis, so that every tap has a site to stand around. Give odd sizes."
            )
        # a copy, since rules may be made later
        self.coordinates = np.array(sites, order="C")
        self.taps = math.prod(self.kernel)
        # either finds a site that is there twice
        _ = self._compiled if _runtime(None) == "native" else self._rules

    def __len__(self) -> int:
        return len(self.coordinates)

    def arrays(self, runtime: Literal["native", "numpy"] | None = None) -> tuple[np.ndarray, ...]:
        """`starts` (N + 1), and for each rule its `tap` and `input`; starts[n] is where those of site n begin."""
        return self._compiled.arrays() if _runtime(runtime) == "native" else self._rules

    @cached_property
    def _compiled(self) -> Any:
        try:
            return native.run.Rules(self.coordinates, list(self.kernel))
        except ValueError as error:
            raise ValueRangeError(str(error)) from error

    @cached_property
    def _rules(self) -> tuple[np.ndarray, ...]:
        sites = self.coordinates.tolist()
        places: dict[tuple[int, ...], int] = {}
        for n, site in enumerate(map(tuple, sites)):
            if places.setdefault(site, n) != n:
                raise ValueRangeError(
                    f"A rule-book got the site {site} twice, at {places[site]} and {n}; each site is there once. Add "
                    "up what fired there first."
                )
        offsets = [*itertools.product(*(range(-(size // 2), size // 2 + 1) for size in self.kernel))]
        found = [
            [places.get((batch, *map(sum, zip(site, offset, strict=True))), -1) for offset in offsets]
            for batch, *site in sites
        ]
        inputs = np.array(found, np.int32).reshape(len(sites), self.taps)
        outputs, taps = np.nonzero(inputs >= 0)
        starts = np.searchsorted(outputs, np.arange(len(sites) + 1))
        return starts.astype(np.int64), taps.astype(np.int32), inputs[outputs, taps]


class SubmanifoldConv:
    """A convolution at the active sites of a sparse map, which stay the only ones: additions for what fired.

    *Equation*: y[n, k] = (sum of weight[k, c, tap] spikes[input, c] over the rules of n << shift[k]) + bias[k]
    *Shapes*: weight (K, C, taps...) int8; shift, bias (K,) int32, zeros by default; spikes (N, C) uint8 -> (N, K) int32
    *Raises*: ShapeError, DtypeError; ValueRangeError where a sum could leave 32 bits.
    """

    def __init__(self, weight: Any, *, shift: Any = None, bias: Any = None) -> None:
        self.weight = np.asarray(weight)
        if self.weight.ndim not in (4, 5) or 0 in self.weight.shape:
            raise ShapeError(
                f"SubmanifoldConv got a weight of shape {self.weight.shape}; it takes (K, C, rows, columns) or "
                "(K, C, planes, rows, columns). Give it an axis for each axis of the map."
            )
        if self.weight.dtype != np.int8:
            raise DtypeError(
                f"SubmanifoldConv got a weight of dtype {self.weight.dtype}; it takes int8. Quantise it first."
            )
        zeros = np.zeros(len(self.weight), np.int32)
        self.shift = zeros if shift is None else np.asarray(shift, np.int32)
        self.bias = zeros if bias is None else np.asarray(bias, np.int32)
        if self.shift.shape != zeros.shape or self.bias.shape != zeros.shape:
            raise ShapeError(
                f"SubmanifoldConv got shifts of shape {self.shift.shape} and biases of shape {self.bias.shape}; it "
                f"takes ({len(zeros)},), one an output. Leave out what is 0."
            )
        if ((self.shift < 0) | (self.shift > 31)).any():
            raise ValueRangeError(
                f"SubmanifoldConv got shifts {self.shift.min()}..{self.shift.max()}; it takes 0 to 31 bits to the "
                "left. Fold others into the weight."
            )

    def __call__(
        self,
        rules: Rulebook,
        spikes: Any,
        *,
        runtime: Literal["native", "numpy"] | None = None,
        threads: int = 1,
    ) -> np.ndarray:
        """The sums at every active site; both runtimes give the same integers, with any number of threads."""
        fired = self._check(rules, spikes, threads)
        if _runtime(runtime) == "native":
            return self._compiled.run(rules._compiled, np.ascontiguousarray(fired), threads)
        starts, taps, inputs = rules.arrays("numpy")
        outputs = np.repeat(np.arange(len(rules)), np.diff(starts))
        matrix = self.weight.reshape(*self.weight.shape[:2], -1).astype(np.int64)
        sums = np.zeros((len(rules), len(matrix)), np.int64)
        for tap in range(rules.taps):
            at = taps == tap
            sums[outputs[at]] += fired[inputs[at]] @ matrix[:, :, tap].T
        return ((sums << self.shift) + self.bias).astype(np.int32)

    @cached_property
    def _compiled(self) -> Any:
        weight = np.ascontiguousarray(self.weight.reshape(*self.weight.shape[:2], -1))
        return native.run.SparseConv(weight, self.shift, self.bias)

    def _check(self, rules: Rulebook, spikes: Any, threads: int) -> np.ndarray:
        fired = np.asarray(spikes)
        if rules.kernel != self.weight.shape[2:] or fired.shape != (len(rules), self.weight.shape[1]):
            raise ShapeError(
                f"SubmanifoldConv got spikes of shape {fired.shape} and rules of {len(rules)} sites for the kernel "
                f"{rules.kernel}; it takes ({len(rules)}, {self.weight.shape[1]}) and rules for "
                f"{self.weight.shape[2:]}. Make a Rulebook of the same sites for this kernel."
            )
        if fired.dtype != np.uint8:
            raise DtypeError(
                f"SubmanifoldConv got spikes of dtype {fired.dtype}; it takes uint8. Convert them: x.astype(np.uint8)."
            )
        if threads < 1:
            raise ConfigError(
                f"SubmanifoldConv got threads={threads}; it takes 1 or more. Leave it out for one."
            )
        sums = np.abs(self.weight.astype(np.int64)).reshape(len(self.weight), -1).sum(1) * int(
            fired.max(initial=0)
        )
        most = int(((sums << self.shift.astype(np.int64)) + np.abs(self.bias.astype(np.int64))).max())
        if most >= 2**31:
            raise ValueRangeError(
                f"SubmanifoldConv got weights and spikes whose sums can reach {most}; it takes what fits 32 bits. "
                "Lower the shifts, or the levels of the neuron before."
            )
        return fired


def _runtime(wanted: str | None) -> str:
    if wanted not in (None, *RUNTIMES):
        raise unknown_name("runtime", wanted, RUNTIMES)
    if wanted == "native" and native.run is None:
        raise ConfigError(
            "The sparse convolution got runtime='native'; it takes 'numpy' here, since the engine is missing: "
            f"{native.run_missing}."
        )
    reference = native.run is None or os.environ.get("SPIKEDRIVE_IMPL") == "reference"
    return wanted or ("numpy" if reference else "native")
