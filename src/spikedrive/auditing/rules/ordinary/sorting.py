"""The largest, the smallest, and the order of elements."""

from __future__ import annotations

import math

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, absorb
from spikedrive.auditing.rules.reductions import largest_of, places
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.value import Value


def _along(step: Step, x: Value, compares: float) -> Value:
    """Elements of x that stand elsewhere along the axis `dim`, found by so many comparisons."""
    axis = int(step.get("dim", -1)) % x.rank if x.rank else 0
    axes = [axis] if x.rank else []
    kept = [1 if a in axes else n for a, n in enumerate(x.shape)]
    found = largest_of(step, x, axes, kept, 1)
    step.tally.compares += compares
    if len(step.shape) == x.rank:
        return found.viewed(step.shape, lambda s: s)
    return found.viewed(step.shape, lambda s: spread.reshaped(s, kept, step.shape))


def _length(step: Step, x: Value) -> int:
    return x.shape[int(step.get("dim", -1)) % x.rank] if x.rank else 1


@rule("aten.max.dim", "aten.min.dim")
def extreme_with_place(step: Step) -> tuple[Value, Value]:
    """The largest or smallest along an axis, and where it stands."""
    x = step.value("self")
    found = _along(step, x, step.count * (_length(step, x) - 1))
    return found, places(step.node.shapes[1], _length(step, x))


@rule("aten.argmax.default", "aten.argmin.default")
def place(step: Step) -> Value:
    """Where the largest or smallest stands."""
    x = step.value("self")
    length = x.count if step["dim"] is None else _length(step, x)
    kept = list(range(x.rank)) if step["dim"] is None else [int(step["dim"]) % x.rank] if x.rank else []
    found = largest_of(step, x, kept, [1 if a in kept else n for a, n in enumerate(x.shape)], length)
    absorb(step, found, "comparison")
    return places(step.shape, length)


@rule("aten.sort.default", "aten.sort.stable")
def ordered(step: Step) -> tuple[Value, Value]:
    """All of them in order, as a merge finds it, and where they stood."""
    x = step.value("self")
    length = _length(step, x)
    rounds = math.ceil(math.log2(max(1, length)))
    return _along(step, x, float(x.count) * rounds), places(step.node.shapes[1], length)


@rule("aten.median.dim", "aten.kthvalue.default")
def in_the_middle(step: Step) -> tuple[Value, Value]:
    """The one of a given rank, found by bringing all in order."""
    return ordered(step)


@rule("aten.topk.default")
def largest(step: Step) -> tuple[Value, Value]:
    """The k largest and where they stand, as k passes over the axis would find them."""
    x = step.value("self")
    found = _along(step, x, float(x.count) * int(step["k"]))
    return found, places(step.node.shapes[1], _length(step, x))
