"""Elementwise arithmetic, choices, limits and roundings."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from spikedrive.auditing import spread
from spikedrive.auditing.folding import (
    Step,
    absorb,
    add,
    affine,
    exception,
    joined_origin,
    materialise,
)
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.spread import Spread
from spikedrive.auditing.value import LARGEST, Value, of_constant, of_integers, of_real
from spikedrive.ops.domain import Binary, Domain, Ternary


def _scaled(step: Step, x: Value, factor: float, offset: float = 0.0) -> Value:
    rank = len(step.shape)
    return affine(step, x, spread.constant(factor, rank), spread.constant(offset, rank))


def _names(step: Step) -> tuple[str, str]:
    return step.name("self"), step.name("other")


@rule("aten.add.Tensor", "aten.add.Scalar")
def added(step: Step) -> Value:
    """x + alpha y."""
    x, y, alpha = step.value("self"), step.value("other"), float(step.get("alpha", 1))
    return add(step, x, y if alpha == 1 else _scaled(step, y, alpha), _names(step))


@rule("aten.sub.Tensor", "aten.sub.Scalar", "aten.subtract.Tensor")
def subtracted(step: Step) -> Value:
    """x - alpha y."""
    x, y, alpha = step.value("self"), step.value("other"), float(step.get("alpha", 1))
    return add(step, x, _scaled(step, y, -alpha), _names(step))


@rule("aten.rsub.Scalar", "aten.rsub.Tensor")
def subtracted_from(step: Step) -> Value:
    """y - alpha x."""
    x, y, alpha = step.value("self"), step.value("other"), float(step.get("alpha", 1))
    return add(step, _scaled(step, x, -alpha), y, _names(step))


@rule("aten.neg.default")
def negated(step: Step) -> Value:
    """-x."""
    return _scaled(step, step.value("self"), -1.0)


@rule("aten.div.Tensor", "aten.div.Scalar", "aten.divide.Tensor")
def divided(step: Step) -> Value:
    """x / y: a constant divisor is a constant factor, another one a division."""
    x, y = step.value("self"), step.value("other")
    if y.base == "constant" and bool((y.literal != 0).all()):
        return affine(step, x, 1 / y.literal, spread.constant(0, len(step.shape)))
    x, y = materialise(step, x, step.name("self")), materialise(step, y, step.name("other"))
    exception(
        step, "division", step.count, f"{x.domain} divided by {y.domain}",
        "divide by a constant, which folds into a weight or a threshold",
    )  # fmt: skip
    infinite = spread.constant(torch.inf, len(step.shape))
    return of_real(step.shape, -infinite, infinite)


@rule("aten.where.self", "aten.where.ScalarOther", "aten.where.ScalarSelf", "aten.masked_fill.Scalar")
def chosen(step: Step) -> Value:
    """x where the mask is set, y elsewhere."""
    if step.node.op.startswith("aten.masked_fill"):
        keys = ("value", "self")
    else:
        keys = ("self", "other")
    values = [step.value(key).grown(step.shape) for key in keys]
    names = [step.name(key) if values[i].base != "constant" else "" for i, key in enumerate(keys)]
    step.tally.kind, step.tally.ands = "selection", step.tally.ands + step.count
    return either(step, values, names)


def either(step: Step, values: list[Value], names: list[str]) -> Value:
    """What holds of an element that comes from any of `values`."""
    whole = joins(step, values)
    if whole is not None:
        return replace(whole, low=_lowest(values), high=_highest(values))
    moving = [v for v in values if not is_zero(v)]
    pixels = bool(moving) and all(v.base == "image" and not (v.has_gain or v.has_offset) for v in moving)
    values = [materialise(step, v, name) for v, name in zip(values, names, strict=True)]
    return of_real(
        step.shape, _lowest(values), _highest(values), weighted=all(v.weighted for v in values),
        base="image" if pixels else "real",
    )  # fmt: skip


def joins(step: Step, values: list[Value]) -> Value | None:
    """The integers that hold an element of any of `values`, or None where some are no integers of one scale."""
    moving = [v for v in values if not is_zero(v)]
    return _either_integers(moving, zeros=len(moving) < len(values), step=step)


def is_zero(x: Value) -> bool:
    """Whether it is a constant of nothing but zeros."""
    return x.base == "constant" and float(x.low.amin()) == float(x.high.amax()) == 0


def _either_integers(moving: list[Value], *, zeros: bool, step: Step) -> Value | None:
    """The integers that hold all of them, or None where some are no integers of one scale."""
    emitted = [v for v in moving if v.base == "integer" and not v.has_offset]
    fixed = [v for v in moving if v.base == "constant"]
    if moving and len(fixed) == len(moving):
        return _either_constants(fixed, zeros=zeros, step=step)
    if not emitted or len(emitted) + len(fixed) < len(moving):
        return None
    gain = emitted[0].gain
    if any(not bool((v.gain == gain).all()) for v in emitted) or (fixed and not spread.is_uniform(gain)):
        return None
    ranges = [v.integers for v in emitted if v.integers] + [Domain(0, 0)] * zeros
    origin, levels = joined_origin(emitted)
    for v in fixed:
        n = v.literal / gain
        if not bool((n == n.round()).all()) or float(n.abs().amax()) >= LARGEST:
            return None
        ranges.append(Domain(int(n.amin()), int(n.amax())))
        if origin == "fired" and ranges[-1].levels > (levels or 0):
            # a constant beyond what the neurons emit is no neuron's
            origin, levels = "sum", None
    integers = Domain(min(n.low for n in ranges), max(n.high for n in ranges))
    deferred = tuple(dict.fromkeys(name for v in emitted for name in v.deferred))
    return replace(of_integers(step.shape, integers, origin, levels=levels), gain=gain, deferred=deferred)


def _either_constants(fixed: list[Value], *, zeros: bool, step: Step) -> Value | None:
    """Whole multiples of one number, or one of two numbers: what a mask selects is then an integer."""
    numbers = torch.cat([v.literal.flatten() for v in fixed] + [torch.zeros(int(zeros), dtype=torch.float64)])
    rank = len(step.shape)
    if not bool(torch.isfinite(numbers).all()):
        return None
    unit = float(numbers[numbers != 0].abs().amin())
    n = numbers / unit
    if bool((n == n.round()).all()) and float(n.abs().amax()) < LARGEST:
        integers = Domain(int(n.amin()), int(n.amax()), unit)
        unit_spikes = integers.levels == 1
        return of_integers(
            step.shape, integers, "fired" if unit_spikes else "sum", levels=1 if unit_spikes else None
        )
    low, high = float(numbers.amin()), float(numbers.amax())
    if not bool(((numbers == low) | (numbers == high)).all()):
        return None
    spikes = of_integers(step.shape, Binary(), "fired", levels=1)
    return replace(spikes, gain=spread.constant(high - low, rank), offset=spread.constant(low, rank))


def _lowest(values: list[Value]) -> Spread:
    low = values[0].low
    for value in values[1:]:
        low = torch.minimum(low, value.low)
    return low


def _highest(values: list[Value]) -> Spread:
    high = values[0].high
    for value in values[1:]:
        high = torch.maximum(high, value.high)
    return high


@rule("aten.maximum.default", "aten.minimum.default", "aten.max.other", "aten.min.other", "aten.fmax.default",
      "aten.fmin.default")  # fmt: skip
def extremum(step: Step) -> Value:
    """The larger or smaller of two."""
    values = [step.value("self").grown(step.shape), step.value("other").grown(step.shape)]
    step.tally.kind, step.tally.compares = "comparison", step.tally.compares + step.count
    return either(step, values, list(_names(step)))


@rule("aten.clamp.default", "aten.clip.default", "aten.hardtanh.default", "aten.relu6.default", "aten.relu.default",
      "aten.clamp_min.default", "aten.clamp_max.default")  # fmt: skip
def clamped(step: Step) -> Value:
    """x limited from below and above by constants: one comparison a limit."""
    x = step.value("self")
    op = step.node.op.split(".")[1]
    low, high = _limits(step, op)
    count = (low > -math.inf) + (high < math.inf)
    step.tally.kind, step.tally.compares = "limit", step.tally.compares + count * step.count
    if bool((x.gain <= 0).any()):
        x = materialise(step, x, step.name("self"))
    if x.base == "constant":
        return of_constant(x.literal.clamp(low, high), step.shape)
    x = replace(x, low=x.low.clamp(low, high), high=x.high.clamp(low, high), folds=())
    return _clamped_integers(step, x, low, high) if x.base == "integer" else x


@rule("aten.clamp.Tensor", "aten.clamp_min.Tensor", "aten.clamp_max.Tensor")
def limited(step: Step) -> Value:
    """x limited by other tensors: one comparison a limit."""
    keys = [key for key in ("self", "min", "max") if isinstance(step.get(key), Value)]
    values = [step.value(key).grown(step.shape) for key in keys]
    step.tally.kind, step.tally.compares = "limit", step.tally.compares + (len(keys) - 1) * step.count
    return either(step, values, [step.name(key) for key in keys])


def _limits(step: Step, op: str) -> tuple[float, float]:
    if op in ("relu", "relu6"):
        return 0.0, 6.0 if op == "relu6" else math.inf
    low, high = ("min_val", "max_val") if op == "hardtanh" else ("min", "max")
    ends = step.get(low), step.get(high)
    return (-math.inf if ends[0] is None else float(ends[0])), (
        math.inf if ends[1] is None else float(ends[1])
    )


def _clamped_integers(step: Step, x: Value, low: float, high: float) -> Value:
    assert x.integers is not None
    ends = [math.nan, math.nan]
    if spread.is_uniform(x.gain) and spread.is_uniform(x.offset):
        gain, offset = float(x.gain.flatten()[0]), float(x.offset.flatten()[0])
        ends = [(limit - offset) / gain for limit in (low, high)]
    if any(math.isnan(e) or (math.isfinite(e) and e != round(e)) for e in ends):
        # a limit between two integers is no integer
        materialise(step, x, step.name("self"))
        return of_real(step.shape, x.low, x.high)
    low, high = sorted(ends)
    integers = Domain(*(int(min(max(n, low), high)) for n in (x.integers.low, x.integers.high)))
    if integers.levels > x.integers.levels and x.origin == "fired":
        # a limit beyond what the neurons emit is no neuron's
        return replace(x, integers=integers, origin="sum", levels=None)
    return replace(x, integers=integers)


@rule("aten.round.default", "aten.floor.default", "aten.ceil.default", "aten.trunc.default")
def rounded(step: Step) -> Value:
    """Whole numbers: as many comparisons as there are steps between the bounds."""
    return whole(step, step.value("self"), step.name("self"), step.node.op.split(".")[1])


_ROUNDINGS = {"round": torch.round, "floor": torch.floor, "ceil": torch.ceil, "trunc": torch.trunc}


def whole(step: Step, x: Value, name: str, rounding: str) -> Value:
    """x, held by node `name`, rounded: `rounding` is "round", "floor", "ceil" or "trunc"."""
    if x.base == "integer" and not x.has_gain and not x.has_offset:
        return x
    low, high = (_ROUNDINGS[rounding](b) for b in (x.low, x.high))
    ends = [float(low.amin()), float(high.amax())]
    if not all(math.isfinite(end) and abs(end) < LARGEST for end in ends):
        materialise(step, x, name)
        step.tally.kind, step.tally.compares = "truncation", step.tally.compares + step.count
        return of_real(step.shape, low, high)
    absorb(step, x, "thresholds")
    integers = Domain(int(ends[0]), int(ends[1]))
    step.tally.kind = "comparison"
    step.tally.compares += step.count * (integers.high - integers.low)
    # whole numbers of any size are no neuron's: only spikes bound a product
    fired = integers.levels <= 1
    return of_integers(step.shape, integers, "fired" if fired else "sum", levels=1 if fired else None)


@rule("aten.abs.default")
def absolute(step: Step) -> Value:
    """|x|: the sign dropped."""
    x = step.value("self")
    step.tally.kind, step.tally.compares = "comparison", step.tally.compares + step.count
    low = torch.where((x.low <= 0) & (x.high >= 0), 0.0, torch.minimum(x.low.abs(), x.high.abs()))
    high = torch.maximum(x.low.abs(), x.high.abs())
    if x.base == "integer" and x.integers is not None and not x.has_offset:
        return replace(x, integers=Domain(0, x.integers.levels), low=low, high=high, gain=x.gain.abs())
    x = materialise(step, x, step.name("self"))
    return of_real(step.shape, low, high)


@rule("aten.sign.default")
def sign(step: Step) -> Value:
    """-1, 0 or 1."""
    absorb(step, step.value("self"), "sign")
    step.tally.kind, step.tally.compares = "comparison", step.tally.compares + 2 * step.count
    return of_integers(step.shape, Ternary(), "fired", levels=1)
