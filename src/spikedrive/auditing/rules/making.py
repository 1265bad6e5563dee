"""Operations that make constants of a size that follows the batch."""

from __future__ import annotations

from dataclasses import replace

import torch

from spikedrive.auditing.folding import Step
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.spread import constant
from spikedrive.auditing.value import Value, of_constant, of_real, unbounded


def _filled(step: Step, value: float) -> Value:
    return of_constant(constant(value, len(step.shape)), step.shape)


@rule("aten.full_like.default", "aten.new_full.default", "aten.full.default")
def full(step: Step) -> Value:
    """One number everywhere."""
    return _filled(step, float(step["fill_value"]))


@rule("aten.zeros_like.default", "aten.new_zeros.default", "aten.zeros.default")
def zeros(step: Step) -> Value:
    """Zero everywhere."""
    return _filled(step, 0.0)


@rule("aten.ones_like.default", "aten.new_ones.default", "aten.ones.default")
def ones(step: Step) -> Value:
    """One everywhere."""
    return _filled(step, 1.0)


@rule("aten.empty.memory_format", "aten.new_empty.default", "aten.empty_like.default")
def empty(step: Step) -> Value:
    """Nothing is known of memory that was never written."""
    return unbounded(step.shape)


@rule("aten.arange.default", "aten.arange.start", "aten.arange.start_step")
def counting(step: Step) -> Value:
    """Equally spaced numbers."""
    start, by = float(step.get("start", 0) or 0), float(step.get("step", 1) or 1)
    return of_constant(start + by * torch.arange(step.count, dtype=torch.float64), step.shape)


@rule("spikedrive.noise.default")
def noise(step: Step) -> tuple[Value, Value]:
    """Random numbers: drawn, not computed. Normal ones belong to the input that they are added to."""
    steps, rank = int(step["steps"]), len(step.shape)
    if step["deviation"] > 0:
        drawn = unbounded(step.shape, base="image")
    else:
        drawn = of_real(step.shape, constant(0, rank), constant(1, rank))
    return replace(drawn, steps=steps), unbounded(step.node.shapes[1])


@rule("aten.randint.low", "aten.randint.default")
def drawn_integer(step: Step) -> Value:
    """A number that is drawn anew at every call, as the seed of an encoder is."""
    return unbounded(step.shape)
