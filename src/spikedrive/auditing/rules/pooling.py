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
from spikedrive.auditing.rules.reductions import charge_sum, largest_of, total_of
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.value import Value
from spikedrive.errors import AuditError


@dataclass(frozen=True)
class Windows:
    """The geometry of an average pooling over the last one or two axes."""

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
        y = F.avg_pool2d(flat, kernel, stride, padding, self.ceil_mode, self.count_include_pad, divisor)
        return y.reshape(*x.shape[:-axes], *y.shape[-axes:])


def _readers(windows: Windows, ones: Tensor) -> Tensor:
    """How many windows read each element: the adjoint of the sums."""
    with torch.enable_grad():
        free = ones.clone().requires_grad_()
        return torch.autograd.grad(windows.total(free).sum(), free)[0]


def _windows(step: Step, x: Value, axes: int) -> Windows:
    if "adaptive" in step.node.op:
        kernel = tuple(_divides(step, x.shape[axis], step.shape[axis]) for axis in range(-axes, 0))
        return Windows(kernel, kernel, (0,) * axes)
    kernel = _each(step["kernel_size"], axes)
    stride = _each(step["stride"], axes) if step["stride"] else kernel
    padding, divisor = _each(step["padding"], axes), step.get("divisor_override")
    return Windows(kernel, stride, padding, bool(step["ceil_mode"]), bool(step["count_include_pad"]), divisor)


def _each(value: Sequence[int] | int, count: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * count if len(values) == 1 else values


def _divides(step: Step, inside: int, outside: int) -> int:
    if inside % outside:
        raise AuditError(
            f"{step.node.op} in {step.node.where} makes {outside} of {inside} positions; the audit has a rule for "
            "windows of one size. Use avg_pool with a kernel that divides the map."
        )
    return inside // outside


@rule("aten.avg_pool2d.default", "aten.avg_pool1d.default", "aten.adaptive_avg_pool2d.default",
      "aten.adaptive_avg_pool1d.default")  # fmt: skip
def average_pooled(step: Step) -> Value:
    """The sum over each window times one over its size, which folds like any constant."""
    x = step.value("self")
    axes = 1 if "1d" in step.node.op else 2
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


@rule("aten.max_pool2d.default", "aten.max_pool1d.default", "aten.adaptive_max_pool2d.default")
def max_pooled(step: Step) -> Value:
    """The largest of each window."""
    x = step.value("self" if "self" in step._arguments else "input")
    sizes = 1 if "1d" in step.node.op else 2
    kernel = step["kernel_size"]
    taps = math.prod(kernel) if len(kernel) == sizes else kernel[0] ** sizes
    return largest_of(step, x, list(range(x.rank - sizes, x.rank)), step.shape, taps)
