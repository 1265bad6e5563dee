"""Operations that make constants of a size that follows the batch."""

from __future__ import annotations

import torch

from spikedrive.auditing.folding import Step
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.spread import constant
from spikedrive.auditing.value import Value, of_constant, unbounded


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
