"""Costs of the kernels on this machine, fitted to the times of a few layers that are run either way."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spikedrive import native
from spikedrive.engine.measure.choice import DENSE, LISTS, Layer, Timed, always, time_layers
from spikedrive.engine.measure.race import pinned

LAYERS = (
    Layer(48, 160, 40),
    Layer(192, 64, 28),
    Layer(320, 320, 12, weight_bits=8),
    Layer(768, 192, 12),
    Layer(24, 96, 40, kernel=3),
    Layer(96, 32, 32, kernel=3),
    Layer(96, 64, 32, kernel=3, stride=2),
    Layer(192, 192, 16, kernel=3),
    Layer(320, 160, 12, kernel=3),
    Layer(112, 32, 72, kernel=3),
    Layer(192, 768, 16),
    Layer(48, 192, 32, kernel=3, weight_bits=8),
    Layer(96, 192, 28, steps=1, most=4),
    Layer(48, 64, 40, steps=1, most=4),
    Layer(320, 640, 12, steps=1, most=4),
    Layer(768, 192, 16, steps=1, most=4),
    Layer(64, 192, 28, kernel=3, steps=1, most=4),
    Layer(160, 64, 28, kernel=3, steps=1, most=4, weight_bits=8),
)
"""Of sizes between those of the registered models: wide and narrow, with and without taps, one block and several."""
DENSITIES = (0.03, 0.1, 0.25, 0.5)
ROUNDS = 30
LONGEST = 60.0
"""Seconds after which no further round begins: kernels without vectors take some ten times as long."""


@dataclass(frozen=True)
class Calibration:
    """Costs in nanoseconds by name, and what a choice by them would have lost on what was measured.

    `worst` is the time of the way that they choose over that of the quicker one, at the most; `error` the median of
    the relative error of the times that they foretell.
    """

    isa: str
    costs: dict[str, float]
    error: float
    worst: float


def calibrate(
    isa: str, *, rounds: int = ROUNDS, progress: Callable[[str, int, int], None] | None = None
) -> Calibration:
    """Time every layer of LAYERS at every density by lists and by dense tiles, on one thread, and fit the costs."""

    def tell(done: int) -> None:
        if progress is not None:
            progress("timing layers", done, rounds)

    tell(0)
    points = [(layer, density) for layer in LAYERS for density in DENSITIES]
    ways = {way: always(way) for way in (LISTS, DENSE)}
    with pinned(1):
        found = time_layers(points, isa, ways, rounds, longest=LONGEST, progress=tell)
    counts = np.array([[each.amounts[way] for way in (LISTS, DENSE)] for each in found])
    times = np.array([_nanoseconds(each) for each in found])
    costs = fit(counts, times)
    foretold = counts @ costs
    chosen = np.take_along_axis(times, (foretold[:, :1] >= foretold[:, 1:]).astype(int), axis=1)[:, 0]
    named = dict(zip(native.run.costs(isa), costs.tolist(), strict=True))
    error = float(np.median(abs(foretold / times - 1)))
    return Calibration(isa, named, error, float((chosen / times.min(axis=1)).max()))


def _nanoseconds(timed: Timed) -> tuple[float, float]:
    """By lists and by dense tiles: their ratio is the median of the turns, what they take together the quickest's."""
    lists, dense = (1e9 * np.array(timed.seconds[way]) for way in (LISTS, DENSE))
    together, ratio = float((lists * dense).min()), float(np.median(lists / dense))
    return math.sqrt(together * ratio), math.sqrt(together / ratio)


def fit(counts: np.ndarray, times: np.ndarray, sweeps: int = 20_000) -> np.ndarray:
    """The costs c >= 0 under which counts c comes closest to the times, by coordinate descent.

    *Equation*: the sum of w^2 (counts c / times - 1)^2 is least, w = min(times) / max(times) of the two ways: where one
    is far ahead, nobody needs to know by how much.
    *Shapes*: counts (N, 2, K), times (N, 2) -> (K,).
    """
    weights = times.min(axis=1, keepdims=True) / times.max(axis=1, keepdims=True) * np.ones_like(times)
    shares = (counts * (weights / times)[..., None]).reshape(times.size, -1)
    # columns of length 1, which every step of the descent then shares
    size = np.sqrt((shares**2).sum(0))
    unit = shares / np.where(size == 0, 1, size)
    gram, target = unit.T @ unit, unit.T @ weights.ravel()
    costs = np.zeros(len(size))
    for _ in range(sweeps):
        before = costs.copy()
        for k in np.flatnonzero(size):
            costs[k] = max(0.0, costs[k] + target[k] - gram[k] @ costs)
        if abs(costs - before).max() <= 1e-12 * costs.max():
            break
    return costs / np.where(size == 0, 1, size)
