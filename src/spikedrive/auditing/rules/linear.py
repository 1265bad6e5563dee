"""Operations with a constant weight: linear layers, matrices, BatchNorm, tables.

A spike times a weight is an addition, an integer s is s additions, a real number is a multiplication,
and the first layer on real input is the analog one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, absorb, affine, exception, materialise, materialise_all
from spikedrive.auditing.ledger import event
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.spread import Spread
from spikedrive.auditing.value import Fold, Value, of_real, unbounded
from spikedrive.errors import AuditError
from spikedrive.ops import domains

WEIGHT_BITS = 8


@dataclass(frozen=True)
class Geometry:
    """How a weight (out, in / groups, taps) meets its operand: axes, groups, reach and size.

    `fanout` says how many products each element of the operand takes part in; `macs` is the dense count.
    """

    in_axis: int
    out_axis: int
    groups: int
    fanout: Spread
    macs: float
    padded: bool = False


def weigh(step: Step, key: str, weight: Tensor, bias: Value | None, geometry: Geometry) -> Value:
    """The output of a constant `weight` (out, in / groups, taps) on the operand `key`, with its cost."""
    x, name, tally = step.value(key), step.name(key), step.tally
    tally.dense_macs += geometry.macs
    if x.has_gain and not spread.varies_only_along(x.gain, [geometry.in_axis % x.rank]):
        x = materialise(step, x, name)
    special = _special(weight) if x.base != "integer" or x.origin == "product" else None
    if special is not None and x.has_gain and x.base != "integer":
        x = materialise(step, x, name)
    absorb(step, x, "weight")
    if x.base == "integer" and x.origin != "product":
        _charge_integers(step, x, name, weight, geometry)
    elif special is not None:
        _charge_special(step, x, geometry, special)
    else:
        _charge_real(step, x, geometry)
    result = _output(step, x, weight, bias, geometry)
    if special is None:
        return result
    # a constant that folded in would leave no signs and no powers of two
    result = replace(result, folds=())
    if special.gain is None:
        return result
    # what the signs are multiplied with is one constant a channel, still to be placed
    gain = along(special.gain, geometry.out_axis, len(step.shape))
    return replace(result, gain=gain, deferred=(step.node.name,))


def _charge_integers(step: Step, x: Value, name: str, weight: Tensor, geometry: Geometry) -> None:
    tally = step.tally
    charged = event(name, x, geometry.fanout)
    tally.events.append((charged,))
    tally.observed, tally.domain, tally.kind = charged, x.domain, f"{x.kind} x weight"
    tally.bits = accumulator_bits(weight, x.integers.low, x.integers.high) if x.integers else None


def _charge_real(step: Step, x: Value, geometry: Geometry) -> None:
    tally = step.tally
    tally.domain = x.domain
    if x.base == "image":
        tally.multiplications += geometry.macs
        tally.analog, tally.kind = True, "analog first layer"
        if x.repeats > 1:
            tally.note = (
                f"the same input {x.repeats} times, counted {x.repeats} times as papers do; "
                f"computed once it would be {geometry.macs / x.repeats:.0f} multiplications"
            )
        return
    exception(step, "real x weight", geometry.macs, *_advice(step, x))


def _advice(step: Step, x: Value) -> tuple[str, str]:
    """Why a real value meets this weight, and the nearest exact replacement."""
    if x.base == "integer":
        return "these integers are products that no neuron bounds", "put a neuron in front of this layer"
    if not x.folds:
        return f"a {x.kind} value meets a weight", "put a neuron in front of this layer"
    producer = step.graph[x.folds[0].node]
    groups = 1
    if isinstance(producer.function, torch._ops.OpOverload):
        groups = domains.bind(producer.function, producer.args, producer.kwargs).get("groups", 1)
    if groups > 1 and step.ledger[producer.name].multiplications == 0:
        return (
            "the depthwise convolution in front emits real values and no neuron stands between",
            "fuse(model, dense_separable=True) makes the pair one dense convolution, or put a neuron in between",
        )
    return (
        "linear layers in a row with no neuron between them",
        "fuse(model) where they are one RepConv, else merge them into one layer or put a neuron in between",
    )


@dataclass(frozen=True)
class _Special:
    """A weight without multiplications: signs (times one constant a channel), or powers of two."""

    kind: str
    nonzero: float
    gain: Tensor | None


def _special(weight: Tensor) -> _Special | None:
    rows = weight.detach().flatten(1).to("cpu", torch.float64).abs()
    largest = rows.amax(1)
    share = float((rows != 0).double().mean())
    if bool(((rows == 0) | (rows == largest[:, None])).all()):
        gain = torch.where(largest == 0, 1.0, largest)
        return _Special("ternary weight", share, None if bool((gain == 1).all()) else gain)
    return _Special("power-of-two weight", share, None) if spread.is_power_of_two(rows) else None


def _charge_special(step: Step, x: Value, geometry: Geometry, special: _Special) -> None:
    tally = step.tally
    tally.kind, tally.domain = special.kind, x.domain
    tally.additions += geometry.macs * special.nonzero
    if special.kind == "power-of-two weight":
        tally.shifts += geometry.macs * special.nonzero


def accumulator_bits(weight: Tensor, low: int, high: int) -> int:
    """The two's complement width that holds every partial sum of integers low..high times 8-bit weights.

    *Equation*: q = round(127 w / max |w|) per output channel; the sum is at most sum max(q low, q high, 0).
    """
    rows = weight.detach().flatten(1).cpu()
    # 127 / peak must stay finite where a row is zero
    peak = rows.abs().amax(1, keepdim=True).clamp(min=2**WEIGHT_BITS * torch.finfo(rows.dtype).tiny)
    q = (rows * ((2 ** (WEIGHT_BITS - 1) - 1) / peak)).round()
    plus = q.clamp(min=0).sum(1, dtype=torch.float64)
    minus = plus - q.sum(1, dtype=torch.float64)
    up, down = max(high, 0), max(-low, 0)
    largest = float(torch.maximum(plus * up + minus * down, minus * up + plus * down).amax())
    return math.ceil(math.log2(largest + 1)) + 1


def _output(step: Step, x: Value, weight: Tensor, bias: Value | None, geometry: Geometry) -> Value:
    rank, tally = len(step.shape), step.tally
    channels = int(weight.shape[0])
    low, high = (along(b, geometry.out_axis, rank) for b in _bounds(x, weight, geometry))
    if bias is not None or x.has_offset:
        tally.sums += step.count
        step.ledger.bias(step.node.name)
    if bias is not None:
        shift = (
            along(bias.literal.flatten(), geometry.out_axis, rank)
            if bias.count > 1
            else bias.literal.reshape(())
        )
        low, high = low + shift, high + shift
    tags = along(torch.arange(channels, dtype=torch.float64), geometry.out_axis, rank)
    result = of_real(
        step.shape, low, high, weighted=True, folds=(Fold(step.node.name, tags),), repeats=x.repeats
    )
    tally.low, tally.high = float(result.low.amin()), float(result.high.amax())
    return result


def _bounds(x: Value, weight: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """The lowest and highest output a channel (out,), exact for operands that move independently."""
    channels = x.shape[geometry.in_axis]
    others = [axis for axis in range(x.rank) if axis != geometry.in_axis % x.rank]
    low = spread.extreme(x.low, others, False, highest=False).expand(channels)
    high = spread.extreme(x.high, others, False, highest=True).expand(channels)
    if geometry.padded:
        low, high = low.clamp(max=0), high.clamp(min=0)
    if not bool(torch.isfinite(low).all() and torch.isfinite(high).all()):
        silent = weight.detach().flatten(1).abs().amax(1).cpu().double() == 0
        infinite = torch.where(silent, 0.0, torch.inf)
        return -infinite, infinite
    grouped = (
        weight.detach().cpu().double().flatten(2)
        if weight.dim() > 2
        else weight.detach().cpu().double()[..., None]
    )
    grouped = grouped.reshape(geometry.groups, -1, *grouped.shape[1:])
    plus, minus = grouped.clamp(min=0).sum(-1), grouped.clamp(max=0).sum(-1)
    low, high = low.reshape(geometry.groups, -1), high.reshape(geometry.groups, -1)

    def weighed(for_plus: Tensor, for_minus: Tensor) -> Tensor:
        return (
            torch.einsum("goc,gc->go", plus, for_plus) + torch.einsum("goc,gc->go", minus, for_minus)
        ).flatten()

    return weighed(low, high), weighed(high, low)


def along(vector: Tensor, axis: int, rank: int) -> Spread:
    """One number a position of one axis."""
    return vector.to(torch.float64).reshape([-1 if a == axis % rank else 1 for a in range(rank)])


def constant_weight(step: Step, key: str) -> Tensor:
    """The weight as a tensor; AuditError where the graph computes it."""
    weight = step.value(key)
    if weight.base != "constant" or weight.tensor is None:
        raise AuditError(
            f"{step.node.op} in {step.node.where} has a weight that depends on the input; the audit has a rule for "
            "constant weights. Write the product as torch.matmul."
        )
    return weight.tensor.expand(weight.shape)


def constant_bias(step: Step, key: str = "bias") -> Value | None:
    """The bias, or None; AuditError where the graph computes it."""
    bias = step.get(key)
    if isinstance(bias, Value) and bias.base != "constant":
        raise AuditError(
            f"{step.node.op} in {step.node.where} has a bias that depends on the input; the audit has a rule for "
            "constant biases. Add it in an operation of its own."
        )
    return bias if isinstance(bias, Value) else None


def matrix(step: Step, key: str, weight: Tensor, bias: Value | None, axis: int) -> Value:
    """weight (out, in) applied along `axis` (-1 or -2) of the operand."""
    x = step.value(key)
    outputs = weight.shape[0]
    fanout, macs = spread.constant(outputs, x.rank), float(x.count) * outputs
    out_axis = axis if len(step.shape) >= x.rank else -1
    return weigh(step, key, weight, bias, Geometry(axis, out_axis, 1, fanout, macs))


@rule("aten.batch_norm.default")
def batch_norm(step: Step) -> Value:
    """A constant gain and shift a channel in eval mode; with batch statistics, real multiplications."""
    x = step.value("input")
    mean, variance = step.get("running_mean"), step.get("running_var")
    weight, bias = step.get("weight"), step.get("bias")
    known = all(v is None or v.base == "constant" for v in (mean, variance, weight, bias))
    if step.get("training", False) or mean is None or variance is None or not known:
        return _batch_statistics(step)
    deviation = torch.sqrt(variance.literal + step["eps"])
    gain = (weight.literal if isinstance(weight, Value) else 1.0) / deviation
    shift = (bias.literal if isinstance(bias, Value) else 0.0) - mean.literal * gain
    return affine(step, x, along(gain, 1, x.rank), along(shift, 1, x.rank))


def _batch_statistics(step: Step) -> Value:
    materialise_all(step)
    x = step.value("input")
    exception(
        step, "normalisation", 3.0 * step.count, "BatchNorm on the statistics of the batch",
        "track running statistics and call model.eval()",
    )  # fmt: skip
    step.tally.functions += x.shape[1]
    step.tally.sums += 2 * step.count
    infinite = spread.constant(torch.inf, x.rank)
    return of_real(step.shape, -infinite, infinite)


@rule("aten.native_batch_norm.default", "aten._native_batch_norm_legit.default",
      "aten._native_batch_norm_legit.no_stats", "aten._native_batch_norm_legit_functional.default",
      "aten._native_batch_norm_legit_no_training.default")  # fmt: skip
def batch_norm_with_statistics(step: Step) -> tuple[Value, ...]:
    """The same, with the statistics."""
    if step.get("training", False) or "no_stats" in step.node.op:
        first = _batch_statistics(step)
    else:
        first = batch_norm(step)
    return first, *(unbounded(shape) for shape in step.node.shapes[1:])


@rule("aten.embedding.default")
def embedding(step: Step) -> Value:
    """A look-up of one row of real numbers an index."""
    table = materialise(step, step.value("weight"), step.name("weight"))
    step.tally.kind, step.tally.lookups = "look-up", step.tally.lookups + step.count
    return of_real(step.shape, table.low.amin(), table.high.amax())
