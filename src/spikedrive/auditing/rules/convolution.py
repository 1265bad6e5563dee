"""Convolutions and their transposes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, materialise
from spikedrive.auditing.rules.linear import Geometry, along, constant_bias, constant_weight, weigh
from spikedrive.auditing.rules.products import weighed_by_a_value
from spikedrive.auditing.rules.reductions import charge_sum, total_of
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.value import Value
from spikedrive.ops.domain import Domain


@rule("aten.conv1d.default", "aten.conv2d.default", "aten.conv3d.default", "aten.convolution.default",
      "aten.conv1d.padding", "aten.conv2d.padding", "aten.conv3d.padding")  # fmt: skip
def convolution(step: Step) -> Value:
    """Convolutions of any rank, stride, dilation and grouping."""
    if step.get("transposed", False):
        return transposed(step)
    x, kernel = step.value("input"), step.value("weight")
    if kernel.base != "constant":
        pairs, terms = float(step.count) * kernel.count / kernel.shape[0], kernel.count // kernel.shape[0]
        return weighed_by_a_value(step, kernel, (pairs / x.count, pairs / kernel.count), terms)
    weight = constant_weight(step, "weight")
    sizes = weight.dim() - 2
    groups, padding = int(step["groups"]), step["padding"]
    stride, dilation = (each(step[key], sizes) for key in ("stride", "dilation"))
    inside, outside = x.shape[-sizes:], step.shape[-sizes:]
    taps = weight.shape[2:]
    if isinstance(padding, str):
        total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilation, taps, strict=True)]
        before, padded = [n // 2 for n in total], any(total)
    else:
        before = each(padding, sizes)
        padded = any(before)
    fanout = spread.constant(weight.shape[0] // groups, x.rank)
    for axis in range(sizes):
        reach = _reach(inside[axis], outside[axis], taps[axis], stride[axis], before[axis], dilation[axis])
        fanout = fanout * along(reach, axis - sizes, x.rank)
    macs = float(step.count) * math.prod(weight.shape[1:])
    channel = -sizes - 1
    return weigh(
        step, "input", weight, constant_bias(step), Geometry(channel, channel, groups, fanout, macs, padded)
    )


def _reach(inside: int, outside: int, kernel: int, stride: int, before: int, dilation: int) -> Tensor:
    """For each input position along one axis, the number of output positions that it reaches."""
    reach = torch.zeros(inside, dtype=torch.float64)
    for tap in range(kernel):
        positions = torch.arange(outside) * stride - before + tap * dilation
        positions = positions[(positions >= 0) & (positions < inside)]
        reach[positions] += 1
    return reach


def each(value: Sequence[int] | int, count: int) -> list[int]:
    """One number an axis, where one number stands for all."""
    values = [int(value)] if isinstance(value, int) else [int(v) for v in value]
    return values * count if len(values) == 1 else values


@rule("aten.conv_transpose1d.default", "aten.conv_transpose2d.input", "aten.conv_transpose3d.input")
def transposed(step: Step) -> Value:
    """Each input element spread over its own window of the output; what falls outside is not computed."""
    weight = constant_weight(step, "weight")
    x, sizes = step.value("input"), weight.dim() - 2
    groups = int(step["groups"])
    stride, padding, dilation = (each(step[key], sizes) for key in ("stride", "padding", "dilation"))
    fanout = spread.constant(weight.shape[1], x.rank)
    for axis in range(sizes):
        position = torch.arange(x.shape[axis - sizes])[:, None] * stride[axis] - padding[axis]
        position = position + torch.arange(weight.shape[2 + axis]) * dilation[axis]
        reach = ((position >= 0) & (position < step.shape[axis - sizes])).sum(1)
        fanout = fanout * along(reach, axis - sizes, x.rank)
    macs = float(x.count) * math.prod(weight.shape[1:])
    # (in, out / groups, ...) as (out, in / groups, ...)
    parts = weight.reshape(groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)
    channel = -sizes - 1
    # an output need not meet every tap, so that zero is among what each tap may add
    return weigh(
        step,
        "input",
        parts,
        constant_bias(step),
        Geometry(channel, channel, groups, fanout, macs, padded=True),
    )


@rule("aten.col2im.default")
def windows_summed(step: Step) -> Value:
    """Windows laid over each other and added, as `fold` does."""
    x = step.value("self")
    if not (spread.is_uniform(x.gain) and spread.is_uniform(x.offset)) or x.has_offset:
        x = materialise(step, x, step.name("self"))
    terms = math.prod(step["kernel_size"])
    charge_sum(step, x, spread.constant(1, x.rank), 1)
    if x.base != "integer":
        step.tally.kind, step.tally.sums = "sum", step.tally.sums + x.count
    rank = len(step.shape)
    # a pixel may lie in no window and in as many as a window has taps
    low = spread.constant(min(0.0, float(x.low.amin()) * terms), rank)
    high = spread.constant(max(0.0, float(x.high.amax()) * terms), rank)
    gain = x.gain.flatten()[:1].reshape((1,) * rank)
    zeros = padded_with_zeros(x)
    return total_of(step, zeros, terms, low, high, gain, spread.constant(0, rank), ())


def padded_with_zeros(x: Value) -> Value:
    """x where zeros stand among its elements."""
    if x.base != "integer" or x.integers is None:
        return x
    return replace(x, integers=Domain(min(0, x.integers.low), max(0, x.integers.high)))
