"""Maps made larger or smaller: neighbours repeated, or mixed by constant weights, or read where the input says."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, exception, materialise
from spikedrive.auditing.ledger import event
from spikedrive.auditing.rules.linear import along
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.rules.views import moved
from spikedrive.auditing.trace import evaluate
from spikedrive.auditing.value import Value, of_real

NEAREST = "the nearest neighbour, which is a view"


def _key(step: Step) -> str:
    return "input" if "input" in step._arguments else "self"


@rule(*(f"aten.upsample_{kind}.{overload}" for kind in ("nearest1d", "nearest2d", "nearest3d")
        for overload in ("vec", "default")),
      *(f"aten._upsample_{kind}.{overload}" for kind in ("nearest_exact1d", "nearest_exact2d", "nearest_exact3d")
        for overload in ("vec", "default")))  # fmt: skip
def repeated(step: Step) -> Value:
    """The nearest neighbour: elements repeated or left out."""
    return moved(step, _key(step))


@rule(*(f"aten.upsample_{kind}.{overload}" for kind in ("linear1d", "bilinear2d", "trilinear3d", "bicubic2d")
        for overload in ("vec", "default")), "aten._upsample_bilinear2d_aa.default", "aten._upsample_bilinear2d_aa.vec",
      "aten._upsample_bicubic2d_aa.default", "aten._upsample_bicubic2d_aa.vec")  # fmt: skip
def interpolated(step: Step) -> Value:
    """Neighbours times constant weights: a spike adds them, a real number is multiplied by them."""
    key = _key(step)
    x, name = step.value(key), step.name(key)
    sizes = x.rank - 2
    mixes = [_mix(step, name, x, axis) for axis in range(-sizes, 0)]
    if (
        not (spread.is_uniform(x.gain) and spread.is_uniform(x.offset))
        or x.base != "integer"
        or x.origin == "product"
    ):
        x = materialise(step, x, name)
    weights = (
        step.count // max(1, math.prod(step.shape[-sizes:])) * math.prod(float((m != 0).sum()) for m in mixes)
    )
    if x.base == "integer" and x.origin != "product":
        fanout = spread.constant(1, x.rank)
        for axis, mix in enumerate(mixes, -sizes):
            fanout = fanout * along((mix != 0).sum(0), axis, x.rank)
        charged = event(name, x, fanout)
        step.tally.events.append((charged,))
        step.tally.kind, step.tally.domain, step.tally.observed = f"{x.kind} x weight", x.domain, charged
    else:
        why = f"{x.domain} values times the weights of their neighbours"
        exception(step, "interpolation", weights, why, NEAREST)
        step.tally.sums += max(0.0, weights - step.count)
    # the weights of one output sum to one; some are negative where they are cubic
    excess = max(0.0, math.prod(float(m.abs().sum(1).amax()) for m in mixes) - 1) / 2 + 1e-6
    axes = range(x.rank - sizes, x.rank)
    low, high = (spread.extreme(b, axes, True, highest=top) for b, top in ((x.low, False), (x.high, True)))
    width = excess * (high - low)
    return of_real(step.shape, low - width, high + width)


def _mix(step: Step, name: str, x: Value, axis: int) -> Tensor:
    """The weights along one axis, (out, in): what the operation makes of one line after the other."""
    n = x.shape[axis]
    lines = torch.eye(n, dtype=torch.float64).reshape(
        [n, 1, *(n if a == axis else 1 for a in range(2 - x.rank, 0))]
    )
    mixed = evaluate(step.node, {name: lines.expand(n, 1, *x.shape[2:]).contiguous()})
    others = [a for a in range(2 - x.rank, 0) if a != axis]
    return mixed.movedim(axis, 1).flatten(2)[:, :, 0].T if others else mixed[:, 0].T


# products with weights, products that make the weights, for each of the two axes
_TAPS = {0: (2, 2), 1: (1, 0), 2: (4, 12)}


@rule("aten.grid_sampler_2d.default")
def sampled(step: Step) -> Value:
    """Neighbours of the places that a grid names, which are computed as well."""
    x, grid = (materialise(step, step.value(key), step.name(key)) for key in ("input", "grid"))
    mode = int(step["interpolation_mode"])
    taps, made = _TAPS[mode]
    positions = grid.count // 2
    products = positions * (2 * (1 + made)) + (step.count + positions) * (0 if mode == 1 else taps**2)
    exception(step, "sampling", products, f"{x.domain} values at places that are computed", NEAREST)
    step.tally.sums += step.count * (taps**2 - 1)
    step.tally.lookups += step.count * taps**2
    low, high = min(0.0, float(x.low.amin())), max(0.0, float(x.high.amax()))
    # cubic weights of one axis have an absolute sum below 1.5
    margin = (1.5**2 - 1) / 2 * (high - low) if mode == 2 else 0.0
    rank = len(step.shape)
    return of_real(step.shape, spread.constant(low - margin, rank), spread.constant(high + margin, rank))
