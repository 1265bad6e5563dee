"""Divisions that round, and what they leave over."""

from __future__ import annotations

import math

import torch

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, exception, materialise
from spikedrive.auditing.rules.elementwise import divided, whole
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.value import Value, of_integers, of_real
from spikedrive.ops.domain import Domain


@rule("aten.div.Tensor_mode", "aten.div.Scalar_mode", "aten.floor_divide.default")
def divided_and_rounded(step: Step) -> Value:
    """x / y, rounded as asked for."""
    rounding = step.get("rounding_mode", "floor")
    quotient = divided(step)
    if rounding is None:
        return quotient
    return whole(step, quotient, step.name("self"), rounding)


@rule("aten.remainder.Tensor", "aten.remainder.Scalar", "aten.fmod.Tensor", "aten.fmod.Scalar")
def left_over(step: Step) -> Value:
    """x less the whole multiples of y: a division, a product and a sum, or a mask for a power of two."""
    x, y = step.value("self"), step.value("other")
    integers = _whole_remainders(step, x, y)
    if integers is not None:
        return integers
    x, y = materialise(step, x, step.name("self")), materialise(step, y, step.name("other"))
    exception(
        step, "remainder", 2 * step.count, f"{x.domain} less the multiples of {y.domain}",
        "integers and a power of two, where it is a mask",
    )  # fmt: skip
    step.tally.sums += step.count
    return of_real(step.shape, *_bounds(step, x.grown(step.shape), y.grown(step.shape)))


def _whole_remainders(step: Step, x: Value, y: Value) -> Value | None:
    """The remainders of whole numbers that are not negative by one power of two."""
    if x.base != "integer" or x.integers is None or x.integers.low < 0 or x.has_gain or x.has_offset:
        return None
    if y.base != "constant" or not spread.is_uniform(y.literal):
        return None
    divisor = float(y.literal.flatten()[0])
    if divisor < 1 or math.frexp(divisor)[0] != 0.5:
        return None
    step.tally.kind, step.tally.ands = "mask", step.tally.ands + step.count
    return of_integers(step.shape, Domain(0, min(x.integers.high, int(divisor) - 1)), "sum")


def _bounds(step: Step, x: Value, y: Value) -> tuple[torch.Tensor, torch.Tensor]:
    """A remainder has the sign of the divisor, as `fmod` that of x; it is smaller than the divisor."""
    zero = torch.zeros((), dtype=torch.float64)
    if step.node.op.startswith("aten.remainder"):
        return torch.minimum(y.low, zero), torch.maximum(y.high, zero)
    most = torch.maximum(y.low.abs(), y.high.abs())
    return torch.maximum(-most, torch.minimum(x.low, zero)), torch.minimum(most, torch.maximum(x.high, zero))
