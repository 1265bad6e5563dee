"""What each layer of a program adds, moves and takes, beside what the machine can do at most."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikedrive.engine.arithmetic import Conv2d, Linear, MatMul, Scale, Shift, Sum
from spikedrive.engine.ir import Input, Neuron, Op
from spikedrive.engine.layout import Permute, Reshape, Slice
from spikedrive.engine.measure.memory import size_of
from spikedrive.engine.runtime import Engine, Program

VIEWS = (Permute, Reshape, Scale, Shift, Slice)
"""Operations through which the density of a neuron reaches a layer unchanged, or on average so."""


@dataclass(frozen=True, kw_only=True)
class LayerTime:
    """One layer with weights, or one product of spikes.

    *Units*: `additions` are those of the values that are not 0, `bytes` what must be read and written at least once:
    weights, input and output in the fewest bytes that hold them; `seconds` the median over the rounds, its
    neuron's included where the engine runs both at once.
    """

    layer: str
    operation: str
    kind: str
    """The operation in words, such as "3 x 3 convolution"."""
    density: float
    additions: float
    bytes: int
    seconds: float


def layer_times(
    program: Program, images: np.ndarray, *, threads: int = 1, rounds: int = 15
) -> list[LayerTime]:
    """Every layer of the program on these images.

    *Shapes*: images (B, C, H, W) or (T, B, C, H, W) uint8.
    """
    batch = images.shape[images.ndim - 1 - len(program.input.shape)]
    run = timer(program, images, threads=threads)
    seconds = np.median([run() for _ in range(rounds)], axis=0)
    busy = program.run(images, neurons=True, threads=threads).neurons
    shares = {program.neurons[path]: float((integers != 0).mean()) for path, integers in busy.items()}
    by_name = {op.name: op for op in program.ops}
    found = []
    for op, second in zip(program.ops, seconds, strict=True):
        if isinstance(op, (Conv2d, Linear, MatMul)):
            # of a product the side with fewer spikes says how often the other one is added
            density = min(_density(name, by_name, shares) for name in op.inputs)
            read = [program.values[name] for name in (*op.inputs, op.name)]
            weights = 0 if isinstance(op, MatMul) else op.weight.nbytes
            found.append(
                LayerTime(
                    layer=op.module or op.name, operation=type(op).__name__,
                    kind=_kind(op, by_name[op.inputs[0]]), density=density,
                    additions=density * _products(op, program) * batch,
                    bytes=weights + sum(size_of(value, batch) for value in read), seconds=float(second),
                )
            )  # fmt: skip
    return found


def _density(name: str, by_name: dict[str, Op], shares: dict[str, float]) -> float:
    """That of the neuron that a tensor comes from; 1 where it is no neuron's."""
    op = by_name[name]
    if isinstance(op, Neuron):
        return shares[name]
    return _density(op.inputs[0], by_name, shares) if isinstance(op, VIEWS) else 1.0


def _kind(op: Conv2d | Linear | MatMul, source: Op) -> str:
    if isinstance(op, MatMul):
        return "product of spikes"
    if isinstance(op, Linear):
        return "linear"
    if isinstance(source, Input):
        return "first layer"
    if op.groups == op.weight.shape[0] > 1:
        return "depthwise convolution"
    return f"{op.weight.shape[2]} x {op.weight.shape[3]} convolution"


def _products(op: Conv2d | Linear | MatMul, program: Program) -> int:
    """Pairs of an input value and a weight, or of two values, of one sample; borders count as if they were inside."""
    out = program.values[op.name]
    if isinstance(op, MatMul):
        inner = program.values[op.inputs[0]].shape[-1]
    else:
        inner = math.prod(op.weight.shape[1:])
    return math.prod(out.shape) * out.steps * inner


def timer(program: Program, images: np.ndarray, *, threads: int = 1) -> Callable[[], list[float]]:
    """A function that runs the program once and gives the seconds of each operation, by the engine's own clock.

    An operation that the engine runs together with another one takes none; the other one takes both.
    """
    pixels = np.ascontiguousarray(images if program.input.steps > 1 else images[None])
    engine: Any = Engine(program)._engine

    def run() -> list[float]:
        return engine.times(pixels, pixels.shape[1], threads)

    # what is set up once is not timed
    run()
    return run


def add_rate(rounds: int = 30) -> float:
    """Additions a nanosecond of the engine on one thread in the layer that suits it best.

    The best of a 1 x 1 convolution of 512 channels to 1024 on 256 positions whose weights fit the caches, on input of
    which 15 %, half or all spikes.
    """
    channels, outputs, side = 512, 1024, 16
    weight = np.random.default_rng(0).integers(-63, 64, (outputs, channels, 1, 1)).astype(np.int8)
    none = np.zeros(outputs, np.int64)
    program = Program(
        [
            Input(name="x", inputs=(), shape=(channels, side, side)),
            Neuron(name="in", inputs=("x",), ladder=(128,), threshold=128, steps=1),
            Conv2d(name="sum", inputs=("in",), weight=weight, shift=none, bias=none.reshape(-1, 1, 1), exponent=0),
            Neuron(name="out", inputs=("sum",), ladder=(2000,), threshold=2000, steps=1),
            Sum(name="logits", inputs=("out",), axes=(1, 2)),
        ]
    )  # fmt: skip
    most, best = channels * outputs * side**2, 0.0
    for density in (0.15, 0.5, 1.0):
        spikes = np.random.default_rng(1).random((1, channels, side, side)) < density
        run = timer(program, np.where(spikes, 255, 0).astype(np.uint8))
        seconds = min(run()[2] for _ in range(rounds))
        best = max(best, spikes.mean() * most / seconds / 1e9)
    return best


def bandwidth() -> float:
    """Bytes a nanosecond, read and written, of a copy much larger than the caches, on one thread."""
    source = np.ones(2**28, np.uint8)
    target = np.empty_like(source)
    target[:] = source
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        target[:] = source
        best = min(best, time.perf_counter() - start)
    return 2 * source.nbytes / best / 1e9
