"""What each operation computes, in plain NumPy: the specification that every faster runtime must equal.

Products run on floating-point BLAS only where the program's bound proves every partial sum exact
(below 2**24 in fp32, below 2**53 in fp64), and on 64-bit integers otherwise. Each result is checked
against its proven bounds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

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
)  # fmt: skip
from spikedrive.engine.ir import Input, Neuron, Op, Value
from spikedrive.engine.layout import Concat, Pad, Permute, Reshape, Slice

Array = np.ndarray
"""Integers (T or 1, B, ...) in the smallest type that their bounds fit."""


def interpret(
    ops: Sequence[Op],
    values: dict[str, Value],
    images: Array,
    keep: set[str],
    state: dict[str, Array] | None = None,
) -> dict[str, Array]:
    """Every tensor named in `keep` for `images` (steps, B, ...); the rest is dropped after its last use.

    `state`, where given, holds by the operation's name the membrane (B, ...) of each neuron that carries it and the sum
    so far of each `SumSteps`; what it lacks is at rest, or zero. It is read, and then holds those after the last step.
    """
    last_use = {name: op.name for op in ops for name in op.inputs}
    live: dict[str, Array] = {}
    for op in ops:
        arguments = [live[name] for name in op.inputs]
        value = values[op.name]
        if isinstance(op, Input):
            result = images
        elif state is None:
            result = EVALUATE[type(op)](op, value, *arguments)
        else:
            result = _continued(op, value, arguments, state)
        assert result.shape[:1] + result.shape[2:] == (value.steps, *value.shape), (
            f"{op.name}: {result.shape}"
        )
        assert _inside(result, value), f"{op.name} left its proven bounds {value.low}..{value.high}"
        live[op.name] = result.astype(smallest(value.low, value.high), copy=False)
        for name in set(op.inputs):
            if last_use[name] == op.name and name not in keep:
                del live[name]
    return {name: live[name] for name in keep}


def _continued(op: Op, value: Value, arguments: list[Array], state: dict[str, Array]) -> Array:
    """The result of an operation that goes on from `state`, which goes on with it."""
    if isinstance(op, Neuron) and op.carry:
        y, state[op.name] = scan(op, value, arguments[0], state.get(op.name))
        return y
    y = EVALUATE[type(op)](op, value, *arguments)
    if isinstance(op, SumSteps):
        y = y + state.get(op.name, 0)
        state[op.name] = y[0]
    return y


def conv2d(op: Conv2d, value: Value, x: Array) -> Array:
    """Channels last: depthwise convolutions tap by tap, the others as one matrix product over unfolded windows."""
    (rows, columns), (height, width) = x.shape[3:], value.shape[1:]
    maps = np.moveaxis(x.reshape(-1, *x.shape[2:]), 1, 3)
    padded = np.zeros((len(maps), *(n + 2 * p for n, p in zip(x.shape[3:], op.padding, strict=True)), x.shape[2]),
                      _number(value.peak))  # fmt: skip
    padded[:, op.padding[0] : op.padding[0] + rows, op.padding[1] : op.padding[1] + columns] = maps
    depthwise = op.groups == x.shape[2] == len(op.weight)
    # unfolded windows are many times their input, so a few maps at a time
    size = max(1, 2**22 // max(height * width * math.prod(op.weight.shape[1:]) * op.groups, 1))
    parts = [padded[i : i + size] for i in range(0, max(len(maps), 1), size)]
    sums = np.concatenate([(_depthwise if depthwise else _dense)(op, part, height, width) for part in parts])
    return _into_stream(
        np.moveaxis(sums, 3, 1).reshape(*x.shape[:2], *value.shape), op.shift[:, None, None], op.bias, value
    )


def _taps(op: Conv2d, padded: Array, height: int, width: int) -> Iterator[tuple[int, int, Array]]:
    """Each tap (i, j) of the kernel, with what it meets at every position."""
    (dy, dx), (sy, sx) = op.dilation, op.stride
    for i, j in itertools.product(*map(range, op.weight.shape[2:])):
        rows = slice(i * dy, i * dy + (height - 1) * sy + 1, sy)
        yield i, j, padded[:, rows, j * dx : j * dx + (width - 1) * sx + 1 : sx]


def _depthwise(op: Conv2d, padded: Array, height: int, width: int) -> Array:
    weight = op.weight.astype(padded.dtype)
    sums = np.zeros((len(padded), height, width, len(weight)), padded.dtype)
    for i, j, tap in _taps(op, padded, height, width):
        sums += tap * weight[:, 0, i, j]
    return sums


def _dense(op: Conv2d, padded: Array, height: int, width: int) -> Array:
    outputs, channels, *kernel = op.weight.shape
    positions, taps = len(padded) * height * width, math.prod(kernel)
    # (groups, positions, taps * channels of a group) times (groups, taps * channels, kernels of a group)
    unfolded = np.stack([tap for _, _, tap in _taps(op, padded, height, width)], axis=3)
    unfolded = np.moveaxis(unfolded.reshape(positions, taps, op.groups, channels), 2, 0)
    kernels = op.weight.astype(padded.dtype).reshape(op.groups, outputs // op.groups, channels, taps)
    sums = np.matmul(
        unfolded.reshape(op.groups, positions, taps * channels),
        kernels.transpose(0, 3, 2, 1).reshape(op.groups, taps * channels, outputs // op.groups),
    )
    return np.moveaxis(sums, 0, 1).reshape(len(padded), height, width, outputs)


def linear(op: Linear, value: Value, x: Array) -> Array:
    """One matrix product over the last axis."""
    number = _number(value.peak)
    return _into_stream(np.matmul(x.astype(number), op.weight.astype(number).T), op.shift, op.bias, value)


def embedding(op: Embedding, value: Value, x: Array) -> Array:
    """The rows that x names."""
    return op.weight[x].astype(np.int64) << op.shift.astype(np.int64)


def neuron(op: Neuron, value: Value, x: Array) -> Array:
    """The neuron from rest."""
    return scan(op, value, x)[0]


def scan(op: Neuron, value: Value, x: Array, start: Array | None = None) -> tuple[Array, Array]:
    """The neuron step by step from the membrane `start` (None: at rest), and the membrane after it; see `Neuron`."""
    wide = smallest(-value.peak, value.peak)
    rest = np.full(x.shape[1:], op.rest, wide)
    v = rest if start is None else start.astype(wide)
    outputs: list[Array] = []
    for t in range(op.steps):
        charge = x[t if len(x) > 1 else 0].astype(wide) << op.fraction
        if op.decay_input:
            charge = charge - (charge >> op.decay)
        if not op.carry:
            v = rest
        total = np.zeros(x.shape[1:], smallest(0, value.high))
        for _ in range(op.repeats):
            h = (v >> op.decay) + (op.rest - (op.rest >> op.decay)) + charge
            s = np.zeros(h.shape, total.dtype)
            for step in op.ladder:
                s += h >= step
            v = np.where(s > 0, rest, h) if op.hard else h - op.threshold * s.astype(wide)
            total += s
        outputs.append(total)
    return np.stack(outputs), v.astype(np.int64)


def matmul(op: MatMul, value: Value, a: Array, b: Array) -> Array:
    """The product of the last two axes."""
    number = _number(value.peak)
    return np.matmul(a.astype(number), b.astype(number)).astype(smallest(value.low, value.high))


def max_pool2d(op: MaxPool2d, value: Value, x: Array) -> Array:
    """The largest of each window, as the maximum over its taps."""
    lowest = np.iinfo(x.dtype).min
    around = [(0, 0)] * (x.ndim - 2) + [(p, p) for p in op.padding]
    padded = np.pad(x, around, constant_values=lowest)
    (dy, dx), (sy, sx), (height, width) = op.dilation, op.stride, value.shape[-2:]
    y = np.full((*x.shape[:-2], height, width), lowest, x.dtype)
    for i in range(op.kernel[0]):
        for j in range(op.kernel[1]):
            tap = padded[
                ..., i * dy : i * dy + (height - 1) * sy + 1 : sy, j * dx : j * dx + (width - 1) * sx + 1 : sx
            ]
            np.maximum(y, tap, out=y)
    return y


def add(op: Add, value: Value, a: Array, b: Array) -> Array:
    """Sums in 64 bits."""
    return np.add(a, b, dtype=np.int64)


def multiply(op: Multiply, value: Value, a: Array, b: Array) -> Array:
    """Products in 64 bits."""
    return np.multiply(a, b, dtype=np.int64)


def shift(op: Shift, value: Value, x: Array) -> Array:
    """Left shift in 64 bits."""
    return x.astype(np.int64) << op.left


def scale(op: Scale, value: Value, x: Array) -> Array:
    """The integers as they are."""
    return x


def sum_axes(op: Sum, value: Value, x: Array) -> Array:
    """Sums over axes of one sample."""
    return x.sum(axis=tuple(axis + 2 for axis in op.axes), dtype=np.int64, keepdims=op.keep)


def sum_steps(op: SumSteps, value: Value, x: Array) -> Array:
    """Sums over the program's steps; what does not change over time counts at each of them."""
    return x.sum(axis=0, dtype=np.int64, keepdims=True) * (op.steps if len(x) == 1 else 1)


def reshape(op: Reshape, value: Value, x: Array) -> Array:
    """Row by row."""
    return x.reshape(*x.shape[:2], *value.shape)


def permute(op: Permute, value: Value, x: Array) -> Array:
    """Axes of one sample."""
    return x.transpose(0, 1, *(axis + 2 for axis in op.axes))


def slice_axis(op: Slice, value: Value, x: Array) -> Array:
    """A range along one axis."""
    return x[(slice(None),) * (op.axis + 2) + (slice(op.start, op.stop),)]


def concat(op: Concat, value: Value, *inputs: Array) -> Array:
    """One after another; what does not change over time is repeated where another input does."""
    return np.concatenate([np.broadcast_to(x, (value.steps, *x.shape[1:])) for x in inputs], axis=op.axis + 2)


def pad(op: Pad, value: Value, x: Array) -> Array:
    """A constant border."""
    return np.pad(x.astype(np.int64), ((0, 0), (0, 0), *op.widths), constant_values=op.value)


EVALUATE: dict[type[Op], Callable[..., Array]] = {
    Conv2d: conv2d, Linear: linear, Embedding: embedding, Neuron: neuron, MatMul: matmul, MaxPool2d: max_pool2d,
    Add: add, Multiply: multiply, Shift: shift, Scale: scale, Sum: sum_axes, SumSteps: sum_steps, Reshape: reshape,
    Permute: permute, Slice: slice_axis, Concat: concat, Pad: pad,
}  # fmt: skip


def _number(peak: int) -> type[np.generic]:
    # a sum of integers is exact in floating point, in any order, while no part of it passes the mantissa
    return np.float32 if peak < 2**24 else np.float64 if peak < 2**53 else np.int64


def smallest(low: int, high: int) -> type[np.signedinteger[Any]]:
    """The narrowest type that holds every integer in [low, high]."""
    for bits, kind in ((7, np.int8), (15, np.int16), (31, np.int32)):
        if -(2**bits) <= low and high < 2**bits:
            return kind
    return np.int64


def _into_stream(sums: Array, shift: Array, bias: Array, value: Value) -> Array:
    # shifted and offset sums stay in their bounds, but a sum before its offset may be larger
    reach = value.magnitude + int(np.abs(bias).max(initial=0))
    wide = smallest(-max(reach, value.peak), max(reach, value.peak))
    y = sums.astype(wide, order="C")
    y <<= shift.astype(wide)
    y += bias.astype(wide)
    return y


def _inside(result: Array, value: Value) -> bool:
    return result.size == 0 or (value.low <= result.min() and result.max() <= value.high)
