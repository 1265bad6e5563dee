"""One layer of a network alone, run by lists of what fired, by dense tiles, and by whichever the engine takes."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikedrive import native
from spikedrive.engine import pack
from spikedrive.engine.arithmetic import Conv2d
from spikedrive.engine.ir import Input, Neuron, Op

LISTS, DENSE = ("lists", "dense")
PLACE = 3
"""Of the layer among the operations of `Layer.ops`."""
LEAST_ROUNDS = 3
TURN, LEAST_RUNS = 0.005, 2
"""Seconds of a layer's turn, and how often it runs in it at least under each of the costs; the first packs weights."""


@dataclass(frozen=True)
class Layer:
    """A convolution over a square map of spikes, or of integers up to `most`, and the neuron behind it.

    *Shapes*: (steps, B, channels, size, size) -> (steps, B, outputs, size / stride, size / stride), its border padded.
    """

    channels: int
    outputs: int
    size: int
    kernel: int = 1
    stride: int = 1
    steps: int = 4
    most: int = 1
    weight_bits: int = 7

    def ops(self, seed: int = 0) -> list[Op]:
        """Random weights; the input becomes spikes in the bits or bytes in which a network's layers find them."""
        rng = np.random.default_rng(seed)
        largest = 2 ** (self.weight_bits - 1) - 1
        weight = rng.integers(-largest, largest + 1, (self.outputs, self.channels, self.kernel, self.kernel))
        steps, ladder = self.steps, tuple(8 * largest * (k + 1) for k in range(self.most))
        return [
            Input(name="x", inputs=(), shape=(self.channels, self.size, self.size), steps=steps),
            # one channel each, so that what fires is what came in
            _convolution("copy", "x", np.ones((self.channels, 1, 1, 1)), groups=self.channels),
            Neuron(name="spikes", inputs=("copy",), ladder=tuple(range(1, self.most + 1)), threshold=1, steps=steps),
            _convolution("layer", "spikes", weight, stride=(self.stride,) * 2, padding=(self.kernel // 2,) * 2),
            Neuron(name="y", inputs=("layer",), ladder=ladder, threshold=8 * largest, steps=steps, carry=True),
            # somebody who takes them in the bits in which a network's next layer does
            _convolution("reader", "y", np.ones((1, self.outputs, 1, 1)), stride=(self.size,) * 2),
        ]  # fmt: skip

    def spikes(self, density: float, batch: int = 1, seed: int = 0) -> np.ndarray:
        """Random bytes of which that share are not 0; integers are sums of `most` spikes."""
        each = 1 - (1 - density) ** (1 / self.most)
        shape = (self.steps, batch, self.channels, self.size, self.size)
        return np.random.default_rng(seed).binomial(self.most, each, shape).astype(np.uint8)


def _convolution(name: str, of: str, weight: np.ndarray, **options: Any) -> Conv2d:
    none = np.zeros((len(weight), 1, 1), np.int32)
    return Conv2d(
        name=name, inputs=(of,), weight=weight.astype(np.int8), bias=none, shift=none[:, 0, 0].astype(np.int8),
        exponent=0, **options,
    )  # fmt: skip


def always(way: str) -> dict[str, float]:
    """Costs by which the engine takes lists, or dense tiles, wherever there is a choice."""
    return {
        name: float(name.startswith("dense_") == (way == LISTS))
        for name in native.run.costs(native.run.levels()[0])
    }


@dataclass(frozen=True, eq=False)
class Timed:
    """A layer at a density: how often each way meets what each cost is for, and what it took under several costs.

    *Units*: seconds on one thread, of the layer with its neuron, round by round; `amounts` in the order of
    `native.run.costs(isa)`.
    """

    layer: Layer
    density: float
    amounts: dict[str, np.ndarray]
    seconds: dict[str, list[float]]


def time_layers(
    points: Sequence[tuple[Layer, float]],
    isa: str,
    costs: Mapping[str, Mapping[str, float]],
    rounds: int,
    *,
    longest: float = math.inf,
    progress: Callable[[int], None] | None = None,
) -> list[Timed]:
    """Run every layer at its density under each of the costs; `progress` is called after each round.

    A round gives every layer one turn, in an order of chance; within a turn the costs take turns, so that they meet the
    same moment of the machine and may be compared turn by turn. No round begins later than `longest` seconds after the
    start, but for the first LEAST_ROUNDS.
    """
    found, engines, start = list[Timed](), dict[Timed, Any](), time.monotonic()
    for layer, density in points:
        # one engine for all of them: how pages lie in the caches is then the same for each
        engine = native.run.Engine(pack.dump({}, layer.ops()), isa)
        lists, dense = engine.amounts(layer.spikes(density), 1)[PLACE]
        counted = {LISTS: np.array(lists), DENSE: np.array(dense)}
        found.append(Timed(layer, density, counted, {name: [] for name in costs}))
        engines[found[-1]] = engine
    draw = random.Random(0)
    for done in range(rounds):
        if done >= LEAST_ROUNDS and time.monotonic() - start > longest:
            break
        for timed in draw.sample(found, len(found)):
            for name, seconds in _turn(engines[timed], timed, costs, draw).items():
                timed.seconds[name].append(seconds)
        if progress is not None:
            progress(done + 1)
    return found


def _turn(
    engine: Any, timed: Timed, costs: Mapping[str, Mapping[str, float]], draw: random.Random
) -> dict[str, float]:
    """The quickest of a few runs under each of the costs."""
    spikes, best, start = timed.layer.spikes(timed.density), dict.fromkeys(costs, math.inf), time.monotonic()
    runs = 0
    while runs < LEAST_RUNS or time.monotonic() - start < TURN:
        for name in draw.sample(list(costs), len(costs)):
            engine.set_costs(costs[name])
            best[name] = min(best[name], engine.times(spikes, 1, 1)[PLACE])
        runs += 1
    return best
