"""Products of two values that both depend on the input.

Spike times spike is AND, a spike selects, an integer that a neuron bounds by D is at most D additions of
the other factor, two unbounded integers are `gated`, and real times real is a multiplication.
"""

from __future__ import annotations

from dataclasses import replace

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, affine, charged, exception, materialise, within_range
from spikedrive.auditing.ledger import Event, integer_bits
from spikedrive.auditing.rules.linear import constant_bias, constant_weight, matrix
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.spread import Spread
from spikedrive.auditing.value import Origin, Value, of_constant, of_integers, of_real
from spikedrive.ops.domain import Domain

PUT_A_NEURON = "put a neuron behind one of the two factors, so that it is a spike or a small integer"


def product(step: Step, x: Value, y: Value, names: tuple[str, str]) -> Value:
    """x * y elementwise, with broadcasting."""
    for one, other in ((x, y), (y, x)):
        if other.base == "constant":
            return affine(step, one, other.literal, spread.constant(0, len(step.shape)))
    x, y = x.grown(step.shape), y.grown(step.shape)
    x, y = _without_offset(step, x, names[0]), _without_offset(step, y, names[1])
    return _multiplied(step, (x, y), names, (1, 1), terms=1)


@rule("aten.mul.Tensor", "aten.mul.Scalar", "aten.multiply.Tensor")
def multiplied(step: Step) -> Value:
    """x * y."""
    return product(step, step.value("self"), step.value("other"), (step.name("self"), step.name("other")))


@rule("aten.square.default")
def squared(step: Step) -> Value:
    """x * x."""
    return product(step, step.value("self"), step.value("self"), (step.name("self"), step.name("self")))


@rule("aten.matmul.default", "aten.mm.default", "aten.bmm.default")
def matmul(step: Step) -> Value:
    """x @ y."""
    keys = ("self", "mat2" if "mat2" in step._arguments else "other")
    x, y = step.value(keys[0]), step.value(keys[1])
    step.tally.kind = "matrix product"
    if y.base == "constant" and y.rank == 2:
        return matrix(step, keys[0], y.tensor.expand(y.shape).T, None, -1)  # type: ignore[union-attr]
    if x.base == "constant" and x.rank == 2 and y.rank >= 2:
        return matrix(step, keys[1], x.tensor.expand(x.shape), None, -2)  # type: ignore[union-attr]
    return contraction(step, x, y, (step.name(keys[0]), step.name(keys[1])))


@rule("aten.linear.default")
def linear(step: Step) -> Value:
    """x W^T + b; where the input makes the weight, a product of two values."""
    x, weight = step.value("input"), step.value("weight")
    if weight.base == "constant" or weight.rank < 2:
        return matrix(step, "input", constant_weight(step, "weight"), constant_bias(step), -1)
    step.tally.kind = "matrix product"
    turned = weight.viewed(weight.shape[::-1], lambda s: s.T)
    return _biased(step, contraction(step, x, turned, (step.name("input"), step.name("weight"))))


def _biased(step: Step, y: Value) -> Value:
    bias = constant_bias(step)
    if bias is None:
        return y
    shape = (-1, *(1,) * (y.rank - 2)) if step.node.op.startswith("aten.conv") else (-1,)
    offset = bias.literal.reshape(shape) if bias.count > 1 else bias.literal.reshape(())
    return affine(step, y, spread.constant(1, y.rank), spread.ranked(offset, y.rank))


@rule("aten.addmm.default")
def addmm(step: Step) -> Value:
    """beta bias + alpha x @ y, both factors constants of the layer."""
    weight, bias = constant_weight(step, "mat2").T * float(step["alpha"]), constant_bias(step, "self")
    if bias is not None and step["beta"] != 1:
        bias = of_constant(bias.literal * float(step["beta"]), bias.shape)
    return matrix(step, "mat1", weight, bias, -1)


def contraction(step: Step, x: Value, y: Value, names: tuple[str, str]) -> Value:
    """x (..., M, K) @ y (..., K, N), or with a vector."""
    terms = x.shape[-1]
    x, y = _without_offset(step, x, names[0]), _without_offset(step, y, names[1])
    if x.gain.shape[-1] > 1:
        x = materialise(step, x, names[0])
    if y.gain.shape[-2 if y.rank > 1 else -1] > 1:
        y = materialise(step, y, names[1])
    pairs = float(step.count) * terms
    step.tally.dense_macs += pairs
    return _multiplied(step, (x, y), names, (pairs / x.count, pairs / y.count), terms=terms)


def weighed_by_a_value(step: Step, weight: Value, reach: tuple[float, float], terms: int) -> Value:
    """A convolution whose `weight` the input makes: `terms` products for each element of the output.

    `reach` is how many products each element of the input and of the weight takes part in.
    """
    x = materialise(step, step.value("input"), step.name("input"))
    weight = materialise(step, weight, step.name("weight"))
    step.tally.dense_macs += float(step.count) * terms
    y = _multiplied(step, (x, weight), (step.name("input"), step.name("weight")), reach, terms=terms)
    if y.integers is not None:
        # taps outside of a padded input add nothing
        y = replace(y, integers=Domain(min(0, y.integers.low), max(0, y.integers.high)))
    return _biased(step, replace(y, low=y.low.clamp(max=0), high=y.high.clamp(min=0)))


def _without_offset(step: Step, x: Value, name: str) -> Value:
    return materialise(step, x, name) if x.has_offset else x


def _multiplied(
    step: Step,
    values: tuple[Value, Value],
    names: tuple[str, str],
    reach: tuple[float, float],
    *,
    terms: int,
) -> Value:
    x, y = values
    bounded = [
        charged(step, v, name, fanout) for v, name, fanout in zip(values, names, reach, strict=True)
        if v.base == "integer" and v.origin == "fired"
    ]  # fmt: skip
    low, high = _extremes(x, y, terms, len(step.shape))
    if x.base == y.base == "integer":
        return _integer_product(step, x, y, bounded, (low, high), terms)
    pairs = float(step.count) * terms
    if bounded:
        # a membrane value, selected or added a few times
        other = y if bounded[0].node == names[0] and x.base == "integer" else x
        _charge_bounded(step, bounded, selected=terms == 1)
        step.tally.domain = f"{(x if other is y else y).domain} x {other.kind}"
    else:
        why = f"{x.domain} times {y.domain}"
        exception(step, f"{x.kind} x {y.kind}", pairs, why, PUT_A_NEURON)
        step.tally.domain = why
    if x.has_gain or y.has_gain:
        # the gains wait behind the product
        gain, deferred = _joint_gain(x, y, terms, step), (*x.deferred, *y.deferred) or (step.node.name,)
        if x.has_gain and y.has_gain and not spread.is_uniform(gain):
            # two that differ by place become one where their product is
            deferred = (*deferred, step.node.name)
        return replace(of_real(step.shape, low, high), gain=gain, deferred=deferred)
    return of_real(step.shape, low, high)


def _integer_product(
    step: Step, x: Value, y: Value, bounded: list[Event], bounds: tuple[Spread, Spread], terms: int
) -> Value:
    assert x.integers is not None and y.integers is not None
    tally = step.tally
    tally.domain = f"{x.domain} x {y.domain}"
    if not bounded:
        tally.multiplications += float(step.count) * terms
        tally.gated, tally.kind = True, "integer x integer"
        tally.why, tally.replacement = f"{tally.domain}: no neuron bounds either factor", PUT_A_NEURON
    else:
        _charge_bounded(step, bounded, selected=terms == 1)
    ends = [a * b for a in (x.integers.low, x.integers.high) for b in (y.integers.low, y.integers.high)]
    integers = Domain(min(ends) * terms, max(ends) * terms)
    tally.low, tally.high, tally.bits = float(integers.low), float(integers.high), integer_bits(integers)
    origin, levels = _origin_of_product(x, y, terms)
    result = of_integers(step.shape, integers, origin, levels=levels)
    gain = _joint_gain(x, y, terms, step)
    return within_range(
        replace(result, gain=gain, deferred=(*x.deferred, *y.deferred), low=bounds[0], high=bounds[1])
    )


def _origin_of_product(x: Value, y: Value, terms: int) -> tuple[Origin, int | None]:
    """AND of spikes is a spike, a spike or a sign selects what a neuron bounds; sums of them are sums."""
    unit = [v for v in (x, y) if v.origin == "fired" and v.largest <= 1]
    if not unit:
        return "product", None
    other = y if unit[0] is x else x
    if terms > 1:
        return ("product" if other.origin == "product" else "sum"), None
    return other.origin or "product", other.levels


def _charge_bounded(step: Step, bounded: list[Event], *, selected: bool) -> None:
    tally = step.tally
    tally.observed = tally.observed or bounded[0]
    if selected and any(e.largest <= 1 for e in bounded):
        tally.ands += step.count
        tally.kind = (
            "spike AND spike"
            if all(e.largest <= 1 for e in bounded) and len(bounded) == 2
            else "spike selects"
        )
        return
    tally.events.append(tuple(bounded))
    tally.kind = "integer product"


def _joint_gain(x: Value, y: Value, terms: int, step: Step) -> Spread:
    rank = len(step.shape)
    if terms == 1:
        return spread.ranked(x.gain, rank) * spread.ranked(y.gain, rank)
    # a vector is a row from the left and a column from the right, whose axis the result has not
    left = x.gain if x.rank > 1 else x.gain.reshape(1, 1)
    right = y.gain if y.rank > 1 else y.gain.reshape(1, 1)
    whole = max(2, x.rank, y.rank)
    joint = spread.ranked(left[..., :1], whole) * spread.ranked(right[..., :1, :], whole)
    joint = joint.squeeze(-2) if x.rank == 1 else joint
    return joint.squeeze(-1) if y.rank == 1 else joint


def _extremes(x: Value, y: Value, terms: int, rank: int) -> tuple[Spread, Spread]:
    """Bounds of the sum of `terms` products."""
    ends = [float(a) * float(b) if float(a) and float(b) else 0.0
            for a in (x.low.amin(), x.high.amax()) for b in (y.low.amin(), y.high.amax())]  # fmt: skip
    return spread.constant(min(ends) * terms, rank), spread.constant(max(ends) * terms, rank)
