"""Comparisons, and logic on zeros and ones."""

from __future__ import annotations

import math

import torch

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, absorb, affine, exception, materialise
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.value import Value, of_integers, of_real
from spikedrive.ops.domain import Binary, Domain


def bit(step: Step) -> Value:
    """Zeros and ones of the output's shape."""
    return of_integers(step.shape, Binary(), "fired", levels=1)


def is_binary(x: Value) -> bool:
    """Whether every element is 0 or 1."""
    if x.base == "constant":
        return bool(((x.literal == 0) | (x.literal == 1)).all())
    plain = not (x.has_gain or x.has_offset)
    return x.base == "integer" and x.integers is not None and x.integers.kind == "binary" and plain


def as_bits(step: Step, x: Value) -> None:
    """Charge what turns x into zeros and ones: a comparison an element, unless it holds no others."""
    if not is_binary(x):
        absorb(step, x, "threshold")
        step.tally.compares += x.count


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
    return bit(step)


@rule("aten.isinf.default", "aten.isnan.default")
def exceptional(step: Step) -> Value:
    """1 where x is no finite number of the kind asked for."""
    step.tally.kind, step.tally.compares = "comparison", step.tally.compares + step.count
    absorb(step, step.value("self"), "threshold")
    return bit(step)


@rule("aten.logical_not.default")
def inverted(step: Step) -> Value:
    """1 where x is 0."""
    absorb(step, step.value("self"), "threshold")
    step.tally.kind, step.tally.compares = "comparison", step.tally.compares + step.count
    return bit(step)


@rule("aten.bitwise_not.default")
def complemented(step: Step) -> Value:
    """1 - x of a truth value, -1 - x of an integer."""
    if step.node.dtype is torch.bool:
        return inverted(step)
    rank = len(step.shape)
    return affine(step, step.value("self"), spread.constant(-1, rank), spread.constant(-1, rank))


@rule("aten.logical_and.default", "aten.logical_or.default", "aten.logical_xor.default")
def joined(step: Step) -> Value:
    """One gate an element, on what is zero and what is not."""
    for key in ("self", "other"):
        as_bits(step, step.value(key))
    step.tally.kind, step.tally.ands = "spike AND spike", step.tally.ands + step.count
    return bit(step)


@rule("aten.bitwise_and.Tensor", "aten.bitwise_or.Tensor", "aten.bitwise_xor.Tensor", "aten.__and__.Tensor",
      "aten.__or__.Tensor", "aten.bitwise_and.Scalar", "aten.bitwise_or.Scalar", "aten.bitwise_xor.Scalar")  # fmt: skip
def gated(step: Step) -> Value:
    """One gate an element, on zeros and ones."""
    values = [step.value("self"), step.value("other")]
    if not all(is_binary(v) for v in values):
        return _gated_integers(step, values)
    step.tally.kind, step.tally.ands = "spike AND spike", step.tally.ands + step.count
    return bit(step)


def _gated_integers(step: Step, values: list[Value]) -> Value:
    """A gate a bit, where both are integers that are not negative."""
    highs = [_highest_integer(v) for v in values]
    if None not in highs:
        sizes = [int(high or 0).bit_length() for high in highs]
        # a bit that one of them lacks is not set in both
        bits = max(1, min(sizes) if "and" in step.node.op else max(sizes))
        step.tally.kind, step.tally.ands = "mask", step.tally.ands + step.count * bits
        return of_integers(step.shape, Domain(0, 2**bits - 1), "sum")
    for v, key in zip(values, ("self", "other"), strict=True):
        materialise(step, v, step.name(key))
    infinite = spread.constant(math.inf, len(step.shape))
    exception(step, "bit operation", step.count, "bits of numbers that are no spikes", "compare first")
    return of_real(step.shape, -infinite, infinite)


def _highest_integer(x: Value) -> int | None:
    """The largest it holds, or None where some may be negative or no integer."""
    if x.base == "constant":
        high = float(x.literal.amax())
        return int(high) if float(x.literal.amin()) >= 0 and math.isfinite(high) else None
    plain = x.base == "integer" and not (x.has_gain or x.has_offset)
    return x.integers.high if plain and x.integers is not None and x.integers.low >= 0 else None


@rule(
    "aten.any.default", "aten.any.dim", "aten.any.dims", "aten.all.default", "aten.all.dim", "aten.all.dims"
)
def over_axes(step: Step) -> Value:
    """A chain of gates: one an element less one a result."""
    x = step.value("self")
    as_bits(step, x)
    step.tally.kind = "spike AND spike"
    step.tally.ands += max(0, x.count - step.count)
    return bit(step)


@rule("aten.__lshift__.Scalar", "aten.bitwise_left_shift.Tensor_Scalar")
def shifted_up(step: Step) -> Value:
    """x times a power of two."""
    rank = len(step.shape)
    gain = spread.constant(2.0 ** int(step["other"]), rank)
    return affine(step, step.value("self"), gain, spread.constant(0, rank))


@rule("aten.__rshift__.Scalar", "aten.bitwise_right_shift.Tensor_Scalar")
def shifted_down(step: Step) -> Value:
    """Integers divided by a power of two and rounded down."""
    x, by = materialise(step, step.value("self"), step.name("self")), 2 ** int(step["other"])
    if by == 1:
        return x
    step.tally.kind, step.tally.shifts = "shift", step.tally.shifts + step.count
    low, high = (x.low / by).floor(), (x.high / by).floor()
    if x.base != "integer" or x.integers is None:
        return of_real(step.shape, low, high)
    return of_integers(step.shape, Domain(x.integers.low // by, x.integers.high // by), "sum")


@rule("aten.bucketize.Tensor", "aten.searchsorted.Tensor")
def between(step: Step) -> Value:
    """How many of a sorted row are smaller, as halving finds it."""
    key = "boundaries" if "boundaries" in step._arguments else "sorted_sequence"
    for name in (key, "self"):
        materialise(step, step.value(name), step.name(name))
    length = step.value(key).shape[-1]
    step.tally.kind = "comparison"
    step.tally.compares += step.count * math.ceil(math.log2(length + 1))
    return of_integers(step.shape, Domain(0, length), "sum")
