"""Running sums, products over axes, and variances."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, exception, materialise, within_range
from spikedrive.auditing.ledger import integer_bits
from spikedrive.auditing.rules.logic import bit, is_binary
from spikedrive.auditing.rules.products import PUT_A_NEURON
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.value import Value, of_integers, of_real, unbounded
from spikedrive.ops.domain import Domain


@rule("aten.cumsum.default")
def running_sum(step: Step) -> Value:
    """Each element added to the sum of those before it."""
    x = step.value("self")
    axis = int(step["dim"]) % x.rank if x.rank else 0
    length = x.shape[axis] if x.rank else 1
    if x.has_offset or (x.rank and x.gain.shape[axis] > 1):
        x = materialise(step, x, step.name("self"))
    step.tally.kind, step.tally.sums = "running sum", step.tally.sums + x.count * (1 - 1 / max(1, length))
    axes = [axis] if x.rank else []
    low, high = (spread.extreme(b, axes, True, highest=top) for b, top in ((x.low, False), (x.high, True)))
    low, high = torch.minimum(low, low * length), torch.maximum(high, high * length)
    if x.base != "integer" or x.integers is None:
        total = of_real(step.shape, low, high, weighted=x.weighted)
        return replace(total, gain=x.gain, deferred=x.deferred)
    n = x.integers
    integers = Domain(min(n.low, n.low * length), max(n.high, n.high * length))
    step.tally.low, step.tally.high = float(integers.low), float(integers.high)
    step.tally.bits = integer_bits(integers)
    total = of_integers(step.shape, integers, "product" if x.origin == "product" else "sum")
    return within_range(replace(total, low=low, high=high, gain=x.gain, deferred=x.deferred))


@rule("aten.prod.default", "aten.prod.dim_int")
def multiplied_over_axes(step: Step) -> Value:
    """The product over an axis: gates between spikes, else multiplications."""
    x = step.value("self")
    count = float(max(0, x.count - step.count))
    if is_binary(x):
        step.tally.kind, step.tally.ands = "spike AND spike", step.tally.ands + count
        return bit(step)
    x = materialise(step, x, step.name("self"))
    exception(step, "product", count, f"a product of {x.domain} values", PUT_A_NEURON)
    terms = x.count // max(1, step.count)
    largest = max(abs(float(x.low.amin())), abs(float(x.high.amax()))) if x.count else 1.0
    # an empty product is one
    most = spread.constant(max(1.0, _power(largest, terms)), len(step.shape))
    return of_real(step.shape, 0 * most if float(x.low.amin()) >= 0 else -most, most)


@rule("aten.cumprod.default")
def running_product(step: Step) -> Value:
    """Each element multiplied by the product of those before it."""
    x = step.value("self")
    length = x.shape[int(step["dim"])] if x.rank else 1
    count = x.count * (1 - 1 / max(1, length))
    if is_binary(x):
        step.tally.kind, step.tally.ands = "spike AND spike", step.tally.ands + count
        return bit(step)
    materialise(step, x, step.name("self"))
    exception(step, "product", count, f"running products of {x.domain} values", PUT_A_NEURON)
    return unbounded(step.shape)


def _power(base: float, exponent: int) -> float:
    try:
        return base**exponent
    except OverflowError:
        return math.inf


@rule("aten.var.correction", "aten.var.dim")
def variance(step: Step) -> Value:
    """A mean, then the mean of squares: a square an element and two constants a result."""
    x = materialise(step, step.value("self"), step.name("self"))
    exception(
        step, "variance", float(x.count) + 2 * step.count, f"squares of {x.domain} values",
        "BatchNorm in eval mode, which folds",
    )  # fmt: skip
    step.tally.sums += 3 * x.count
    zero = spread.constant(0, len(step.shape))
    return of_real(step.shape, zero, zero + math.inf)


@rule("aten.var_mean.correction")
def variance_and_mean(step: Step) -> tuple[Value, Value]:
    """The same, with the mean."""
    x, rank = step.value("self"), len(step.shape)
    mean = of_real(
        step.shape, spread.constant(float(x.low.amin()), rank), spread.constant(float(x.high.amax()), rank)
    )
    return variance(step), mean
