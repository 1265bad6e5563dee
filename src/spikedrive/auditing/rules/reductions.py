"""Sums, means and extremes over axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, affine, materialise, within_range
from spikedrive.auditing.ledger import event, integer_bits
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.spread import Spread
from spikedrive.auditing.value import Fold, Value, of_integers, of_real
from spikedrive.ops.domain import Domain


@rule("aten.sum.dim_IntList", "aten.sum.default")
def summed(step: Step) -> Value:
    """The sum over some axes."""
    x = step.value("self")
    return _summed(step, x, step.axes("dim", x.rank) if "dim" in step._arguments else list(range(x.rank)))


@rule("aten.mean.dim", "aten.mean.default")
def averaged(step: Step) -> Value:
    """The sum over some axes times 1 / n, which folds like any constant."""
    x = step.value("self")
    axes = step.axes("dim", x.rank) if "dim" in step._arguments else list(range(x.rank))
    terms = math.prod(x.shape[axis] for axis in axes)
    rank = len(step.shape)
    return affine(step, _summed(step, x, axes), spread.constant(1 / terms, rank), spread.constant(0, rank))


def _summed(step: Step, x: Value, axes: list[int]) -> Value:
    keep = bool(step.get("keepdim", False))
    terms = math.prod(x.shape[axis] for axis in axes)
    if any(x.gain.shape[axis] > 1 for axis in axes):
        x = materialise(step, x, step.name("self"))
    low, high = (spread.summed(b, x.shape, axes, keep) for b in (x.low, x.high))
    offset = spread.summed(x.offset, x.shape, axes, keep)
    gain = x.gain if keep else spread.dropped(x.gain, axes)
    charge_sum(step, x, spread.constant(1, x.rank), terms)
    return total_of(step, x, terms, low, high, gain, offset, _summed_folds(x, axes, keep))


def charge_sum(step: Step, x: Value, fanout: Spread, terms: int) -> None:
    """Each unit of an integer is an addition in every sum it enters; real values are added one by one."""
    tally = step.tally
    if x.base == "integer":
        charged = event(step.name("self"), x, fanout)
        tally.events.append((charged,))
        tally.kind, tally.domain, tally.observed = "sum of integers", x.domain, charged
    elif terms > 1:
        tally.sums += step.count * (terms - 1)
        tally.kind, tally.domain = "sum", x.domain


def total_of(
    step: Step,
    x: Value,
    terms: int,
    low: Spread,
    high: Spread,
    gain: Spread,
    offset: Spread,
    folds: tuple[Fold, ...],
) -> Value:
    """The sum of `terms` elements of x, with bounds and what is deferred given."""
    if x.base == "integer" and x.integers is not None:
        integers = Domain(
            min(x.integers.low * terms, x.integers.low), max(x.integers.high * terms, x.integers.high)
        )
        origin = "product" if x.origin == "product" else "sum"
        total = of_integers(step.shape, integers, origin)
        total = replace(total, low=low, high=high, gain=gain, offset=offset, deferred=x.deferred)
        step.tally.low, step.tally.high = float(integers.low), float(integers.high)
        step.tally.bits = integer_bits(integers)
        return within_range(total)
    base = "image" if x.base == "image" else "real"
    total = of_real(step.shape, low, high, weighted=x.weighted, folds=folds, base=base, repeats=x.repeats)
    return replace(total, gain=gain, offset=offset, deferred=x.deferred)


def _summed_folds(x: Value, axes: Sequence[int], keep: bool) -> tuple[Fold, ...]:
    # a channel's constant passes through a sum that stays within channels
    if any(f.tags.shape[axis] > 1 for f in x.folds for axis in axes):
        return ()
    return tuple(replace(f, tags=f.tags if keep else spread.dropped(f.tags, axes)) for f in x.folds)


@rule("aten.amax.default", "aten.amin.default", "aten.max.default", "aten.min.default")
def extreme_over_axes(step: Step) -> Value:
    """The largest or smallest over some axes."""
    x = step.value("self")
    axes = step.axes("dim", x.rank) if "dim" in step._arguments else list(range(x.rank))
    taps = math.prod(x.shape[axis] for axis in axes)
    kept = [1 if axis in axes else n for axis, n in enumerate(x.shape)]
    pooled = largest_of(step, x, axes, kept, taps)
    return pooled.viewed(step.shape, lambda s: spread.reshaped(s, kept, step.shape))


def largest_of(step: Step, x: Value, axes: list[int], shape: Sequence[int], taps: int) -> Value:
    """The largest of `taps` elements along `axes`."""
    step.tally.kind, step.tally.domain = "maximum", x.domain
    step.tally.compares += torch.Size(shape).numel() * (taps - 1)
    if x.base == "constant":
        x = of_real(x.shape, x.low, x.high)
    movable = bool((x.gain > 0).all()) and not any(b.shape[a] > 1 for b in (x.gain, x.offset) for a in axes)
    if not movable:
        x = materialise(step, x, step.name("self" if "self" in step._arguments else "input"))
    low = spread.extreme(x.low, axes, True, highest=False)
    high = spread.extreme(x.high, axes, True, highest=True)
    return replace(x, shape=tuple(map(int, shape)), low=low, high=high, folds=())


def places(shape: Sequence[int], count: int) -> Value:
    """Positions among `count`."""
    return of_integers(shape, Domain(0, max(0, count - 1)), "sum")
