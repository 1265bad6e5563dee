"""Programs of random operations that fit each other, with bounds from tiny to almost 64 bits."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from spikedrive.engine.arithmetic import (
    Add,
    Conv2d,
    Embedding,
    Linear,
    MatMul,
    MaxPool2d,
    Multiply,
    Scale,
    Shift,
    Sum,
    SumSteps,
)
from spikedrive.engine.ir import Input, Neuron, Op, Value, check
from spikedrive.engine.layout import Concat, Pad, Permute, Reshape, Slice
from spikedrive.errors import ShapeError

STEPS = 3


def random_program(chance: random.Random, length: int, high: int = 255) -> list[Op]:
    """Operations of which `check` accepts every one, on (4, 5, 6) or a sequence of (4, 5) integers 0..high."""
    shape = chance.choice(((4, 5, 6), (4, 5)))
    ops: list[Op] = [Input(name="x", inputs=(), shape=shape, steps=chance.choice((1, STEPS)), high=high)]
    values = check(ops)
    while len(ops) < length:
        make = chance.choice(MAKERS)
        # what came last is read most, so that bounds grow
        names = [chance.choice([*values][-2:]) for _ in range(2)]
        op = make(chance, f"{len(ops)}.{make.__name__}", names, [values[name] for name in names])
        try:
            values = check([*ops, op])
            ops.append(op)
        except (ShapeError, ValueError, IndexError):
            continue
    return ops


def integers(chance: random.Random, shape: tuple[int, ...]) -> np.ndarray:
    """Of a random width and a random part of it."""
    bits = chance.choice((8, 8, 8, 16, 32, 64))
    most = 2 ** chance.randrange(bits)
    numbers = np.random.default_rng(chance.randrange(2**32)).integers(-most, most, shape)
    return numbers.astype(f"i{bits // 8}")


def conv2d(chance: random.Random, name: str, inputs: list[str], x: list[Value]) -> Op:
    channels, groups = x[0].shape[0] if x[0].shape else 1, chance.choice((1, 2, 4))
    outputs = groups * chance.randrange(1, 3)
    weight = integers(
        chance, (outputs, max(channels // groups, 1), chance.randrange(1, 4), chance.randrange(1, 3))
    )
    return Conv2d(
        name=name, inputs=(inputs[0],), weight=weight, shift=np.array(chance.choices(range(5), k=outputs)),
        bias=integers(chance, (outputs, 1, 1)), exponent=chance.randrange(-9, 9), groups=groups,
        stride=(chance.randrange(1, 4), 1), padding=(chance.randrange(3), 1), dilation=(1, chance.randrange(1, 3)),
    )  # fmt: skip


def linear(chance: random.Random, name: str, inputs: list[str], x: list[Value]) -> Op:
    outputs = chance.randrange(1, 6)
    weight = integers(chance, (outputs, x[0].shape[-1] if x[0].shape else 1))
    shift = np.array(chance.choices(range(9), k=outputs), np.int8)
    return Linear(name=name, inputs=(inputs[0],), weight=weight, shift=shift, bias=integers(chance, (outputs,)),
                  exponent=chance.randrange(-9, 9))  # fmt: skip


def embedding(chance: random.Random, name: str, inputs: list[str], x: list[Value]) -> Op:
    # what may be negative, or more than a small table holds, is refused
    rows, width = 1 + min(max(x[0].high, 0), 999), chance.randrange(1, 6)
    shift = np.array(chance.choices(range(9), k=width), np.int8)
    return Embedding(name=name, inputs=(inputs[0],), weight=integers(chance, (rows, width)), shift=shift,
                     exponent=chance.randrange(-9, 9))  # fmt: skip


def neuron(chance: random.Random, name: str, inputs: list[str], x: list[Value]) -> Op:
    reach = 2 ** chance.randrange(1, 40)
    ladder = sorted(chance.choices(range(-reach, reach), k=chance.randrange(1, 4)))
    return Neuron(
        name=name, inputs=(inputs[0],), ladder=tuple(ladder), threshold=chance.choice((reach, -reach)), steps=STEPS,
        hard=chance.random() < 0.5, rest=chance.choice((0, 5, -7)), decay=chance.choice((0, 1, 2)),
        decay_input=chance.random() < 0.5, carry=chance.random() < 0.5, repeats=chance.choice((1, 1, 2)),
        fraction=chance.randrange(14), exponent=chance.randrange(-9, 9),
    )  # fmt: skip


def add(chance: random.Random, name: str, inputs: list[str], x: list[Value]) -> Op:
    return Add(name=name, inputs=tuple(inputs))


def multiply(chance: random.Random, name: str, inputs: list[str], x: list[Value]) -> Op:
    return Multiply(name=name, inputs=tuple(inputs))


def matmul(chance: random.Random, name: str, inputs: list[str], x: list[Value]) -> Op:
    return MatMul(name=name, inputs=tuple(inputs))


def shift(chance: random.Random, name: str, inputs: list[str], x: list[Value]) -> Op:
    return Shift(name=name, inputs=(inputs[0],), left=chance.randrange(6))


def scale(chance: random.Random, name: str, inputs: list[str], x: list[Value]) -> Op:
    return Scale(name=name, inputs=(inputs[0],), power=chance.randrange(-9, 9))


def sum_axes(chance: random.Random, name: str, inputs: list[str], x: list[Value]) -> Op:
    axes = chance.sample(range(len(x[0].shape)), k=min(len(x[0].shape), chance.randrange(3)))
    keep, mean = chance.random() < 0.8, chance.random() < 0.5
    return Sum(name=name, inputs=(inputs[0],), axes=tuple(axes), keep=keep, mean=mean)


def sum_steps(chance: random.Random, name: str, inputs: list[str], x: list[Value]) -> Op:
    return SumSteps(name=name, inputs=(inputs[0],), steps=STEPS, mean=chance.random() < 0.5)


def max_pool2d(chance: random.Random, name: str, inputs: list[str], x: list[Value]) -> Op:
    kernel = (chance.randrange(1, 4), 2)
    return MaxPool2d(name=name, inputs=(inputs[0],), kernel=kernel, stride=(chance.randrange(1, 3), 1),
                     padding=(kernel[0] // 2, chance.randrange(2)))  # fmt: skip


def reshape(chance: random.Random, name: str, inputs: list[str], x: list[Value]) -> Op:
    shape = (*x[0].shape, 1) if chance.random() < 0.5 else tuple(reversed(x[0].shape))
    return Reshape(name=name, inputs=(inputs[0],), shape=shape)


def permute(chance: random.Random, name: str, inputs: list[str], x: list[Value]) -> Op:
    axes = chance.sample(range(len(x[0].shape)), k=len(x[0].shape))
    return Permute(name=name, inputs=(inputs[0],), axes=tuple(axes))


def slice_axis(chance: random.Random, name: str, inputs: list[str], x: list[Value]) -> Op:
    start = chance.randrange(2)
    return Slice(name=name, inputs=(inputs[0],), axis=chance.randrange(3), start=start, stop=start + 2)


def concat(chance: random.Random, name: str, inputs: list[str], x: list[Value]) -> Op:
    return Concat(name=name, inputs=tuple(inputs), axis=chance.randrange(3))


def pad(chance: random.Random, name: str, inputs: list[str], x: list[Value]) -> Op:
    widths = tuple((chance.randrange(2), chance.randrange(2)) for _ in x[0].shape)
    return Pad(name=name, inputs=(inputs[0],), widths=widths, value=chance.randrange(-300, 300))


MAKERS: list[Callable[[random.Random, str, list[str], list[Value]], Op]] = [
    conv2d, linear, embedding, neuron, add, multiply, matmul, shift, scale, sum_axes, sum_steps, max_pool2d, reshape,
    permute, slice_axis, concat, pad,
]  # fmt: skip
