"""Poolings over windows of the last axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, affine, materialise
from spikedrive.auditing.rules.reductions import charge_sum, largest_of, places, total_of
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.value import Value


@dataclass(frozen=True)
class Windows:
    """The geometry of an average pooling over the last one, two or three axes."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor: int | None = None

    def average(self, x: Tensor) -> Tensor:
        """What PyTorch gives."""
        return self._pooled(x, self.divisor)

    def total(self, x: Tensor) -> Tensor:
        """The sums before the division."""
        return self._pooled(x, 1)

    def _pooled(self, x: Tensor, divisor: int | None) -> Tensor:
        axes = len(self.kernel)
        # one axis is a map of height 1
        kernel, stride = (1,) * (2 - axes) + self.kernel, (1,) * (2 - axes) + self.stride
        padding = (0,) * (2 - axes) + self.padding
        flat = x.reshape(1, -1, *((1,) * (2 - axes)), *x.shape[-axes:])
        pool = F.avg_pool3d if axes == 3 else F.avg_pool2d
        y = pool(flat, kernel, stride, padding, self.ceil_mode, self.count_include_pad, divisor)
        return y.reshape(*x.shape[:-axes], *y.shape[-axes:])


@dataclass(frozen=True)
class AdaptiveWindows:
    """Windows of the last axes that make a map of the size `outside`; their sizes may differ by place."""

    inside: tuple[int, ...]
    outside: tuple[int, ...]

    def average(self, x: Tensor) -> Tensor:
        """What PyTorch gives."""
        return self.total(x) / self.total(torch.ones_like(x))

    def total(self, x: Tensor) -> Tensor:
        """The sums before the division."""
        for axis, (n, m) in enumerate(zip(self.inside, self.outside, strict=True), -len(self.inside)):
            x = (x.movedim(axis, -1) @ _adaptive(n, m).T).movedim(-1, axis)
        return x

    @property
    def largest(self) -> int:
        """The elements of the largest window."""
        return math.prod(
            int(_adaptive(n, m).sum(1).amax()) for n, m in zip(self.inside, self.outside, strict=True)
        )


def _adaptive(inside: int, outside: int) -> Tensor:
    """The windows along one axis: (outside, inside), ones where a window reaches."""
    i, at = torch.arange(outside)[:, None], torch.arange(inside)
    starts, ends = i * inside // outside, -((i + 1) * inside // -outside)
    return ((at >= starts) & (at < ends)).double()


def _readers(windows: Windows | AdaptiveWindows, ones: Tensor) -> Tensor:
    """How many windows read each element: the adjoint of the sums."""
    with torch.enable_grad():
        free = ones.clone().requires_grad_()
        return torch.autograd.grad(windows.total(free).sum(), free)[0]


def _windows(step: Step, x: Value, axes: int) -> Windows | AdaptiveWindows:
    if "adaptive" in step.node.op:
        return AdaptiveWindows(x.shape[-axes:], step.shape[-axes:])
    kernel = _each(step["kernel_size"], axes)
    stride = _each(step["stride"], axes) if step["stride"] else kernel
    padding, divisor = _each(step["padding"], axes), step.get("divisor_override")
    return Windows(kernel, stride, padding, bool(step["ceil_mode"]), bool(step["count_include_pad"]), divisor)


def _each(value: Sequence[int] | int, count: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * count if len(values) == 1 else values


def _axes(step: Step) -> int:
    return next(n for n in (1, 2, 3) if f"pool{n}d" in step.node.op)


@rule("aten.avg_pool1d.default", "aten.avg_pool2d.default", "aten.avg_pool3d.default",
      "aten.adaptive_avg_pool1d.default", "aten.adaptive_avg_pool2d.default", "aten.adaptive_avg_pool3d.default",
      "aten._adaptive_avg_pool2d.default", "aten._adaptive_avg_pool3d.default")  # fmt: skip
def average_pooled(step: Step) -> Value:
    """The sum over each window times one over its size, which folds like any constant."""
    x, axes = step.value("self"), _axes(step)
    windows, space = _windows(step, x, axes), range(x.rank - axes, x.rank)
    if any(b.shape[axis] > 1 for axis in space for b in (x.gain, x.offset)) or x.has_offset:
        x = materialise(step, x, step.name("self"))
    ones = torch.ones((1, 1, *x.shape[-axes:]), dtype=torch.float64)
    terms = windows.total(ones)
    most = int(terms.amax())
    fanout = _readers(windows, ones)
    charge_sum(step, x, spread.ranked(fanout[0, 0], x.rank), most)
    low, high = (spread.extreme(b, space, True, highest=top) for b, top in ((x.low, False), (x.high, True)))
    low, high = torch.minimum(low, low * most), torch.maximum(high, high * most)
    folds = () if any(f.tags.shape[axis] > 1 for f in x.folds for axis in space) else x.folds
    total = total_of(step, x, most, low, high, x.gain, spread.constant(0, x.rank), folds)
    gain = spread.ranked((windows.average(ones) / terms)[0, 0], x.rank)
    gain = gain.flatten()[:1].reshape((1,) * x.rank) if spread.is_uniform(gain) else gain
    return affine(step, total, gain, spread.constant(0, x.rank))


def _largest_of_windows(step: Step) -> Value:
    x, sizes = step.value("self" if "self" in step._arguments else "input"), _axes(step)
    if "adaptive" in step.node.op:
        taps = AdaptiveWindows(x.shape[-sizes:], step.shape[-sizes:]).largest
    else:
        taps = math.prod(_each(step["kernel_size"], sizes))
    return largest_of(step, x, list(range(x.rank - sizes, x.rank)), step.shape, taps)


@rule("aten.max_pool1d.default", "aten.max_pool2d.default", "aten.max_pool3d.default")
def max_pooled(step: Step) -> Value:
    """The largest of each window."""
    return _largest_of_windows(step)


@rule("aten.max_pool1d_with_indices.default", "aten.max_pool2d_with_indices.default",
      "aten.max_pool3d_with_indices.default", "aten.adaptive_max_pool1d.default", "aten.adaptive_max_pool2d.default",
      "aten.adaptive_max_pool3d.default")  # fmt: skip
def max_pooled_with_places(step: Step) -> tuple[Value, Value]:
    """The largest of each window, and where in the map it stands."""
    x = step.value("self" if "self" in step._arguments else "input")
    return _largest_of_windows(step), places(step.node.shapes[1], math.prod(x.shape[-_axes(step) :]))
