"""Operations that make tensors out of nothing: constants of a size that follows the batch, and random numbers."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.utils import _pytree as pytree

from spikedrive.auditing.folding import Step
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.spread import constant
from spikedrive.auditing.trace import Batched
from spikedrive.auditing.value import Value, of_constant, of_real, unbounded


def _filled(step: Step, value: float) -> Value:
    if isinstance(value, Batched):
        return unbounded(step.shape)
    # a type without fractions drops them
    kept = torch.tensor(value).to(step.node.dtype)
    return of_constant(constant(float(kept), len(step.shape)), step.shape)


@rule("aten.full_like.default", "aten.new_full.default", "aten.full.default")
def full(step: Step) -> Value:
    """One number everywhere."""
    return _filled(step, step["fill_value"])


@rule("aten.fill.Scalar")
def filled(step: Step) -> Value:
    """One number everywhere, in place of what was there."""
    return _filled(step, step["value"])


@rule("aten.scalar_tensor.default")
def one_number(step: Step) -> Value:
    """One number."""
    return _filled(step, step["s"])


@rule("aten.zeros_like.default", "aten.new_zeros.default", "aten.zeros.default")
def zeros(step: Step) -> Value:
    """Zero everywhere."""
    return _filled(step, 0.0)


@rule("aten.ones_like.default", "aten.new_ones.default", "aten.ones.default")
def ones(step: Step) -> Value:
    """One everywhere."""
    return _filled(step, 1.0)


@rule("aten.empty.memory_format", "aten.new_empty.default", "aten.empty_like.default", "aten.empty_strided.default",
      "aten.new_empty_strided.default", "aten.empty_permuted.default")  # fmt: skip
def empty(step: Step) -> Value:
    """Nothing is known of memory that was never written."""
    return unbounded(step.shape)


@rule("aten.arange.default", "aten.arange.start", "aten.arange.start_step")
def counting(step: Step) -> Value:
    """Equally spaced numbers."""
    if any(isinstance(leaf, Batched) for leaf in pytree.tree_leaves((step.node.args, step.node.kwargs))):
        # they differ from sample to sample
        return unbounded(step.shape)
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


def _drawn(step: Step, value: Value) -> Value:
    """A random number is read from where they are made: a look-up each."""
    step.tally.kind, step.tally.lookups = "random number", step.tally.lookups + step.count
    return value


@rule("aten.rand.default", "aten.rand_like.default")
def drawn(step: Step) -> Value:
    """Uniform between 0 and 1."""
    rank = len(step.shape)
    return _drawn(step, of_real(step.shape, constant(0, rank), constant(1, rank)))


@rule("aten.randn.default", "aten.randn_like.default", "aten.exponential.default", "aten.normal_functional.default",
      "aten.uniform.default", "aten.randint_like.default", "aten.randint_like.low_dtype")  # fmt: skip
def drawn_of_any_size(step: Step) -> Value:
    """Random numbers of which nothing is known."""
    return _drawn(step, unbounded(step.shape))


@rule("aten.randperm.default")
def drawn_order(step: Step) -> Value:
    """The whole numbers below n in some order."""
    rank = len(step.shape)
    return _drawn(step, of_real(step.shape, constant(0, rank), constant(max(0, step.count - 1), rank)))
