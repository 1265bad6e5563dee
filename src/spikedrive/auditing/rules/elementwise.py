"""Elementwise arithmetic, comparisons and roundings."""

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
from spikedrive.auditing.rules.products import product
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.spread import Spread
from spikedrive.auditing.value import LARGEST, Value, of_integers, of_real
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


@rule("aten.pow.Tensor_Scalar")
def power(step: Step) -> Value:
    """x to a constant power; whole powers are repeated products."""
    x, exponent = step.value("self"), float(step["exponent"])
    if exponent == 1:
        return x
    if exponent == 2:
        return product(step, x, x, (step.name("self"), step.name("self")))
    x = materialise(step, x, step.name("self"))
    whole = exponent == round(exponent) and exponent > 1
    exception(
        step, "power", step.count * (exponent - 1 if whole else 0), f"{x.domain} to the power {exponent:g}",
        "put a neuron in front: powers of a spike are the spike",
    )  # fmt: skip
    step.tally.functions += 0 if whole else step.count
    infinite = spread.constant(torch.inf, x.rank)
    return of_real(step.shape, -infinite if not (whole and exponent % 2 == 0) else 0 * x.low, infinite)


@rule(
    "aten.ge.Scalar", "aten.ge.Tensor", "aten.gt.Scalar", "aten.gt.Tensor", "aten.le.Scalar", "aten.le.Tensor",
    "aten.lt.Scalar", "aten.lt.Tensor", "aten.eq.Scalar", "aten.eq.Tensor", "aten.ne.Scalar", "aten.ne.Tensor",
)  # fmt: skip
def compared(step: Step) -> Value:
    """Zeros and ones; a constant factor of one side folds into a constant on the other."""
    x, y = step.value("self"), step.value("other")
    for one, other, key in ((x, y, "self"), (y, x, "other")):
        if other.base == "constant":
            absorb(step, one, "threshold")
        elif one.base != "constant":
            materialise(step, one, step.name(key))
    step.tally.kind, step.tally.compares = "comparison", step.tally.compares + step.count
    return of_integers(step.shape, Binary(), "fired", levels=1)


@rule("aten.logical_not.default", "aten.bitwise_not.default")
def inverted(step: Step) -> Value:
    """1 where x is 0."""
    step.tally.kind, step.tally.compares = "comparison", step.tally.compares + step.count
    return of_integers(step.shape, Binary(), "fired", levels=1)


@rule("aten.logical_and.default", "aten.logical_or.default", "aten.logical_xor.default", "aten.bitwise_and.Tensor",
      "aten.bitwise_or.Tensor", "aten.bitwise_xor.Tensor", "aten.__and__.Tensor", "aten.__or__.Tensor")  # fmt: skip
def gated(step: Step) -> Value:
    """One gate an element, on zeros and ones."""
    values = [step.value("self"), step.value("other")]
    if any(v.base != "integer" or v.integers is None or v.integers.kind != "binary" for v in values):
        infinite = spread.constant(torch.inf, len(step.shape))
        exception(step, "bit operation", step.count, "bits of numbers that are no spikes", "compare first")
        return of_real(step.shape, -infinite, infinite)
    step.tally.kind, step.tally.ands = "spike AND spike", step.tally.ands + step.count
    return of_integers(step.shape, Binary(), "fired", levels=1)


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


@rule("aten.scatter.value")
def scattered(step: Step) -> Value:
    """x with one number written to places that another tensor names."""
    return either(step, [step.value("self"), step.value("value").grown(step.shape)], [step.name("self"), ""])


def either(step: Step, values: list[Value], names: list[str]) -> Value:
    """What holds of an element that comes from any of `values`."""
    moving = [
        v for v in values if not (v.base == "constant" and float(v.low.amin()) == float(v.high.amax()) == 0)
    ]
    if (
        moving
        and all(v.base == "integer" and not v.has_offset for v in moving)
        and all(bool((v.gain == moving[0].gain).all()) for v in moving)
    ):
        ranges = [v.integers for v in moving if v.integers] + [Domain(0, 0)] * (len(moving) < len(values))
        integers = Domain(min(n.low for n in ranges), max(n.high for n in ranges))
        origin, levels = joined_origin(moving)
        whole = of_integers(step.shape, integers, origin, levels=levels)
        return replace(
            whole,
            gain=moving[0].gain,
            deferred=moving[0].deferred,
            low=_lowest(values),
            high=_highest(values),
        )
    values = [materialise(step, v, name) for v, name in zip(values, names, strict=True)]
    return of_real(step.shape, _lowest(values), _highest(values), weighted=all(v.weighted for v in values))


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


@rule("aten.maximum.default", "aten.minimum.default", "aten.max.other", "aten.min.other")
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
    x = replace(x, low=x.low.clamp(low, high), high=x.high.clamp(low, high), folds=())
    return _clamped_integers(step, x, low, high) if x.base == "integer" else x


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
    if not spread.is_uniform(x.gain) or not spread.is_uniform(x.offset):
        return materialise(step, x, step.name("self"))
    gain, offset = float(x.gain.flatten()[0]), float(x.offset.flatten()[0])
    ends = [(limit - offset) / gain for limit in (low, high)]
    if any(math.isfinite(e) and e != round(e) for e in ends):
        return materialise(step, x, step.name("self"))
    integers = Domain(int(max(x.integers.low, min(ends[0], x.integers.high))),
                      int(min(x.integers.high, max(ends[1], x.integers.low))))  # fmt: skip
    return replace(x, integers=integers)


@rule("aten.round.default", "aten.floor.default", "aten.ceil.default", "aten.trunc.default")
def rounded(step: Step) -> Value:
    """Whole numbers: as many comparisons as there are steps between the bounds."""
    x = step.value("self")
    low, high = float(x.low.amin()), float(x.high.amax())
    if x.base == "integer" and not x.has_gain and not x.has_offset:
        return x
    if not (math.isfinite(low) and math.isfinite(high)) or max(abs(low), abs(high)) > LARGEST:
        materialise(step, x, step.name("self"))
        step.tally.kind, step.tally.compares = "truncation", step.tally.compares + step.count
        return of_real(step.shape, x.low.floor(), x.high.ceil())
    absorb(step, x, "thresholds")
    round_ = {"round": torch.round, "floor": torch.floor, "ceil": torch.ceil, "trunc": torch.trunc}[
        step.node.op.split(".")[1]
    ]
    ends = [int(round_(torch.tensor(b, dtype=torch.float64))) for b in (low, high)]
    step.tally.kind, step.tally.compares = (
        "comparison",
        step.tally.compares + step.count * (ends[1] - ends[0]),
    )
    integers = Domain(*ends)
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
