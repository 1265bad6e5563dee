"""Distances between points, and from the origin."""

from __future__ import annotations

import math

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, exception, materialise
from spikedrive.auditing.rules.reductions import places
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.value import Value, of_real


@rule("aten._cdist_forward.default", "aten._pdist_forward.default")
def distance(step: Step) -> Value:
    """The p-norm of a difference: squares and a root, or absolute values (p = 1), or comparisons (p = 0, inf)."""
    key = "x1" if "x1" in step._arguments else "self"
    x = materialise(step, step.value(key), step.name(key))
    if "x2" in step._arguments:
        materialise(step, step.value("x2"), step.name("x2"))
    terms = float(step.count) * x.shape[-1]
    _charge(step, float(step["p"]), terms, x.domain)
    step.tally.sums += 2 * terms
    zero = spread.constant(0, len(step.shape))
    return of_real(step.shape, zero, zero + math.inf)


def _charge(step: Step, p: float, terms: float, of: str) -> None:
    step.tally.kind = "distance"
    if p in (0.0, 1.0) or math.isinf(p):
        step.tally.compares += terms
        return
    squares = p == 2.0
    why = f"the distance of {of} points"
    exception(step, "distance", terms if squares else 0, why, "the sum of absolute differences (p = 1)")
    step.tally.functions += step.count + (0 if squares else terms)


@rule("aten.linalg_vector_norm.default")
def norm(step: Step) -> Value:
    """The p-norm: squares and a root, or absolute values (p = 1), or comparisons (p = 0, inf)."""
    x = materialise(step, step.value("self"), step.name("self"))
    _charge(step, float(step["ord"]), float(x.count), x.domain)
    step.tally.sums += x.count
    zero = spread.constant(0, len(step.shape))
    return of_real(step.shape, zero, zero + math.inf)


@rule("spikedrive.group_points.default")
def grouped(step: Step) -> tuple[Value, ...]:
    """Squared distances from every middle to every point, once to choose the middles and once their neighbours."""
    x = materialise(step, step.value("points"), step.name("points"))
    batch, points = x.shape[:2]
    pairs = 2.0 * batch * int(step["groups"]) * points
    step.tally.kind = "distance"
    exception(
        step, "distance", pairs * int(step["axes"]), f"squared distances of {x.domain} points",
        "the sum of absolute differences",
    )  # fmt: skip
    step.tally.sums += 2 * pairs * int(step["axes"])
    # the farthest point is one pass for each middle; the nearest ones are brought in order
    step.tally.compares += pairs / 2 * (1 + math.ceil(math.log2(max(2, points))))
    return tuple(places(shape, points) for shape in step.node.shapes)
