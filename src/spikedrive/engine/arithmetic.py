"""The operations that compute: weights, tables, sums, products, maxima."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from spikedrive.engine.ir import MOST_ELEMENTS, MOST_STEPS, Op, Value, check_reach, register_op, take, unfit


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class Conv2d(Op):
    """y[k] = (sum_c,i,j weight[k,c,i,j] x[c, s p + i d - pad]) * 2**shift[k] + bias[k,p], zero padding.

    Shapes: x (C, H, W), weight (K, C / groups, h, w), shift (K,), bias (K, 1, 1) or (K, P, Q) -> (K, P, Q).
    """

    weight: np.ndarray
    shift: np.ndarray
    bias: np.ndarray
    exponent: int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def infer(self, *inputs: Value) -> Value:
        (x,) = take(self, inputs, 1)
        outputs, channels, *kernel = self.weight.shape
        if len(x.shape) != 3 or x.shape[0] != channels * self.groups or outputs % self.groups:
            raise unfit(
                self, x, f"({channels * self.groups}, H, W) for {self.groups} groups of {outputs} kernels"
            )
        if min(*self.stride, *self.dilation, *kernel) < 1 or min(self.padding) < 0:
            raise unfit(self, x, "strides, dilations and kernels of at least 1")
        height, width = (
            window_count(n, k, s, p, d)
            for n, k, s, p, d in zip(
                x.shape[1:], kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )
        shape = (outputs, height, width)
        _check_padding(self, x, self.padding)
        if (
            min(shape) < 1
            or self.bias.shape not in (shape, (outputs, 1, 1))
            or self.shift.shape != (outputs,)
        ):
            raise unfit(self, x, f"an input at least as large as the kernel and a bias of {shape}")
        return _weighted(self, x, shape)


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Op):
    """y[k] = (sum_c weight[k,c] x[c]) * 2**shift[k] + bias[k], over the last axis.

    Shapes: x (..., C), weight (K, C), shift (K,), bias (K,) -> (..., K).
    """

    weight: np.ndarray
    shift: np.ndarray
    bias: np.ndarray
    exponent: int

    def infer(self, *inputs: Value) -> Value:
        (x,) = take(self, inputs, 1)
        outputs, channels = self.weight.shape
        fits = x.shape and x.shape[-1] == channels
        if not fits or self.bias.shape != (outputs,) or self.shift.shape != (outputs,):
            raise unfit(self, x, f"(..., {channels})")
        return _weighted(self, x, (*x.shape[:-1], outputs))


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class Embedding(Op):
    """y[d] = weight[x, d] * 2**shift[d]: row x of a table, behind the axes of x. x lies in 0..N-1.

    Shapes: x (...), weight (N, D), shift (D,) -> (..., D).
    """

    weight: np.ndarray
    shift: np.ndarray
    exponent: int

    def infer(self, *inputs: Value) -> Value:
        (x,) = take(self, inputs, 1)
        rows, width = self.weight.shape
        if x.low < 0 or x.high >= rows or self.shift.shape != (width,):
            raise unfit(self, x, f"integers 0..{rows - 1} and {width} shifts")
        left = [int(n) for n in self.shift]
        if not all(0 <= n < 64 for n in left):
            raise unfit(self, x, "shifts of 0 to 63")
        low = min(int(n) << s for n, s in zip(self.weight.min(axis=0), left, strict=True))
        high = max(int(n) << s for n, s in zip(self.weight.max(axis=0), left, strict=True))
        return Value((*x.shape, width), x.steps, low, high, max(-low, high), self.exponent)


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Op):
    """y = a + b; shapes broadcast."""

    def infer(self, *inputs: Value) -> Value:
        a, b = take(self, inputs, 2)
        if (a.exponent, a.divisor) != (b.exponent, b.divisor):
            raise unfit(self, b, f"2**{a.exponent} / {a.divisor} for one unit on both sides")
        return _pair(self, a, b, a.low + b.low, a.high + b.high, a.exponent, a.divisor)


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class Multiply(Op):
    """y = a * b element by element: AND where both are binary; shapes broadcast."""

    def infer(self, *inputs: Value) -> Value:
        a, b = take(self, inputs, 2)
        low, high = _product(a, b)
        return _pair(self, a, b, low, high, a.exponent + b.exponent, a.divisor * b.divisor)


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class MatMul(Op):
    """y[n,m] = sum_k a[n,k] b[k,m]; leading axes broadcast."""

    def infer(self, *inputs: Value) -> Value:
        a, b = take(self, inputs, 2)
        if min(len(a.shape), len(b.shape)) < 2 or a.shape[-1] != b.shape[-2]:
            raise unfit(self, b, f"(..., {a.shape[-1:]}, M) after {a.shape}")
        low, high = (bound * a.shape[-1] for bound in _product(a, b))
        leading = _pair(self, replace(a, shape=a.shape[:-2]), replace(b, shape=b.shape[:-2]), low, high, 0, 1)
        return replace(
            leading, shape=(*leading.shape, a.shape[-2], b.shape[-1]),
            exponent=a.exponent + b.exponent, divisor=a.divisor * b.divisor,
        )  # fmt: skip


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class Shift(Op):
    """y = x << left: the same real numbers in finer units."""

    left: int

    def infer(self, *inputs: Value) -> Value:
        (x,) = take(self, inputs, 1)
        if not 0 <= self.left < 64:
            raise unfit(self, x, "a shift of 0 to 63")
        low, high = x.low << self.left, x.high << self.left
        return replace(x, low=low, high=high, peak=max(-low, high), exponent=x.exponent - self.left)


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class Scale(Op):
    """y = x: the real numbers times 2**power, the integers as they are. Costs nothing."""

    power: int

    def infer(self, *inputs: Value) -> Value:
        (x,) = take(self, inputs, 1)
        return replace(x, exponent=x.exponent + self.power)


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class Sum(Op):
    """y = sum of x over `axes` of one sample; with `mean` one unit is worth 1 / count (nothing is divided)."""

    axes: tuple[int, ...]
    keep: bool = False
    mean: bool = False

    def infer(self, *inputs: Value) -> Value:
        (x,) = take(self, inputs, 1)
        if not all(0 <= axis < len(x.shape) for axis in self.axes) or len(set(self.axes)) < len(self.axes):
            raise unfit(self, x, "axes that it has, each once")
        count = math.prod(x.shape[axis] for axis in self.axes)
        shape = tuple(
            1 if i in self.axes else n for i, n in enumerate(x.shape) if self.keep or i not in self.axes
        )
        return _summed(x, shape, x.steps, count, self.mean)


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class SumSteps(Op):
    """y = sum over the program's steps; with `mean` one unit is worth 1 / steps."""

    steps: int
    mean: bool = False

    def infer(self, *inputs: Value) -> Value:
        (x,) = take(self, inputs, 1)
        if x.steps not in (1, self.steps) or not 1 <= self.steps <= MOST_STEPS:
            raise unfit(self, x, f"1 or {self.steps} steps")
        return _summed(x, x.shape, 1, self.steps, self.mean)


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool2d(Op):
    """y = the largest of each window over the last two axes; padding never wins. OR where x is binary."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    def infer(self, *inputs: Value) -> Value:
        (x,) = take(self, inputs, 1)
        if len(x.shape) < 2 or any(
            # a window of padding alone has no largest value
            not 0 <= 2 * p <= k or (p and d > n)
            for p, k, d, n in zip(self.padding, self.kernel, self.dilation, x.shape[-2:], strict=True)
        ):
            raise unfit(self, x, "(..., H, W) and a padding of at most half the kernel")
        if min(*self.stride, *self.dilation, *self.kernel) < 1:
            raise unfit(self, x, "strides, dilations and kernels of at least 1")
        sizes = tuple(
            window_count(n, k, s, p, d)
            for n, k, s, p, d in zip(
                x.shape[-2:], self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )
        _check_padding(self, x, self.padding)
        if min(sizes) < 1:
            raise unfit(self, x, f"at least {self.kernel}")
        return replace(x, shape=(*x.shape[:-2], *sizes))


def window_count(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """How many windows fit: floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _check_padding(op: Op, x: Value, padding: tuple[int, int]) -> None:
    sizes = (n + 2 * p for n, p in zip(x.shape[-2:], padding, strict=True))
    if math.prod(x.shape[:-2]) * x.steps * math.prod(sizes) > MOST_ELEMENTS:
        raise unfit(op, x, f"a padding of at most {MOST_ELEMENTS} values per sample")


def _weighted(op: Conv2d | Linear, x: Value, shape: tuple[int, ...]) -> Value:
    rows = op.weight.reshape(op.weight.shape[0], -1)
    # sums of 64-bit weights may pass 64 bits themselves
    kind = object if rows.dtype.itemsize == 8 else np.int64
    # python integers from here on, since these products may pass 64 bits and must say so
    positive = [int(n) for n in np.maximum(rows, 0).sum(axis=1, dtype=kind)]
    negative = [int(n) for n in np.minimum(rows, 0).sum(axis=1, dtype=kind)]
    bias = op.bias.reshape(op.bias.shape[0], -1)
    # a border, or a partial sum, leaves terms out, as if x were 0 there
    least, most = min(x.low, 0), max(x.high, 0)
    low, high, peak = 0, 0, 0
    for k, (p, n) in enumerate(zip(positive, negative, strict=True)):
        shift, offsets = int(op.shift[k]), (int(bias[k].min()), int(bias[k].max()))
        if not 0 <= shift < 64:
            raise unfit(op, x, "shifts of 0 to 63")
        low_k, high_k = (p * least + n * most) << shift, (p * most + n * least) << shift
        # before its offset a sum may be larger
        check_reach(op, max(-low_k, high_k, (p - n) * x.magnitude))
        low_k, high_k = low_k + offsets[0], high_k + offsets[1]
        low, high = (low_k, high_k) if k == 0 else (min(low, low_k), max(high, high_k))
        peak = max(peak, (p - n) * x.magnitude)
    return Value(shape, x.steps, low, high, peak, op.exponent, x.divisor)


def _pair(op: Op, a: Value, b: Value, low: int, high: int, exponent: int, divisor: int) -> Value:
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise unfit(op, b, f"what broadcasts with {a.shape}") from None
    # leading axes are time and batch, so both sides need the same number of axes
    if len(a.shape) != len(b.shape) or (1 not in (a.steps, b.steps) and a.steps != b.steps):
        raise unfit(op, b, f"{len(a.shape)} axes and {a.steps} steps")
    return Value(shape, max(a.steps, b.steps), low, high, max(-low, high), exponent, divisor)


def _product(a: Value, b: Value) -> tuple[int, int]:
    corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    # 0 belongs to it, so that the bounds of a sum hold for its parts as well
    return min(*corners, 0), max(*corners, 0)


def _summed(x: Value, shape: tuple[int, ...], steps: int, count: int, mean: bool) -> Value:
    # a power of two goes into the exponent
    twos = (count & -count).bit_length() - 1 if mean and count else 0
    return Value(
        shape, steps, x.low * count, x.high * count, x.magnitude * count,
        x.exponent - twos, x.divisor * (count >> twos if mean else 1),
    )  # fmt: skip
