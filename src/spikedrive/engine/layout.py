"""The operations that move integers and change none."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from spikedrive.engine.ir import Op, Value, register_op, take, unfit
from spikedrive.errors import ShapeError


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class Reshape(Op):
    """The same integers of one sample in another shape, row by row."""

    shape: tuple[int, ...]

    def infer(self, *inputs: Value) -> Value:
        (x,) = take(self, inputs, 1)
        if math.prod(self.shape) != math.prod(x.shape) or min(self.shape, default=1) < 1:
            raise unfit(self, x, f"the size of {self.shape}")
        return replace(x, shape=self.shape)


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class Permute(Op):
    """y's axis i is x's axis axes[i], of one sample."""

    axes: tuple[int, ...]

    def infer(self, *inputs: Value) -> Value:
        (x,) = take(self, inputs, 1)
        if sorted(self.axes) != list(range(len(x.shape))):
            raise unfit(self, x, f"{len(self.axes)} axes")
        return replace(x, shape=tuple(x.shape[axis] for axis in self.axes))


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class Slice(Op):
    """x[start:stop] along one axis of one sample."""

    axis: int
    start: int
    stop: int

    def infer(self, *inputs: Value) -> Value:
        (x,) = take(self, inputs, 1)
        if not (0 <= self.axis < len(x.shape) and 0 <= self.start < self.stop <= x.shape[self.axis]):
            raise unfit(self, x, f"{self.start}..{self.stop} on axis {self.axis}")
        shape = list(x.shape)
        shape[self.axis] = self.stop - self.start
        return replace(x, shape=tuple(shape))


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(Op):
    """The inputs one after another along one axis of one sample."""

    axis: int

    def infer(self, *inputs: Value) -> Value:
        if not inputs or not 0 <= self.axis < len(inputs[0].shape):
            raise ShapeError(f"Operation {self.name!r} got {len(inputs)} inputs and axis {self.axis}; it takes at "
                             "least one input that has the axis. Compile the model again.")  # fmt: skip
        first, total = inputs[0], 0
        for x in inputs:
            like = x.shape[: self.axis] + first.shape[self.axis : self.axis + 1] + x.shape[self.axis + 1 :]
            if like != first.shape or (x.exponent, x.divisor) != (first.exponent, first.divisor):
                raise unfit(self, x, f"{first.shape} but for axis {self.axis}, in the same units")
            total += x.shape[self.axis]
        shape = (*first.shape[: self.axis], total, *first.shape[self.axis + 1 :])
        low, high = min(x.low for x in inputs), max(x.high for x in inputs)
        steps = max(x.steps for x in inputs)
        for x in inputs:
            if x.steps not in (1, steps):
                raise unfit(self, x, "the same steps, or 1, from every input")
        return replace(first, shape=shape, steps=steps, low=low, high=high, peak=max(-low, high))


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class Pad(Op):
    """`value` around x: widths[i] = (before, after) on axis i of one sample."""

    widths: tuple[tuple[int, int], ...]
    value: int = 0

    def infer(self, *inputs: Value) -> Value:
        (x,) = take(self, inputs, 1)
        if len(self.widths) != len(x.shape) or any(min(pair) < 0 for pair in self.widths):
            raise unfit(self, x, f"{len(self.widths)} axes and widths of 0 or more")
        shape = tuple(n + sum(pair) for n, pair in zip(x.shape, self.widths, strict=True))
        low, high = min(x.low, self.value), max(x.high, self.value)
        return replace(x, shape=shape, low=low, high=high, peak=max(-low, high))
