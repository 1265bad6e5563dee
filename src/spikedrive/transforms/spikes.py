"""An integer written as binary sub-steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Spikes:
    """A tensor of integers times `unit`, as the sum of its binary sub-steps.

    *Equation*: value = sum over d of stack[d], every element of which is 0 or `unit`. In a thermometer code
    (`ordered`) a sub-step fires only where the one before it does: n is n ones and D - n zeros.
    *Shapes*: stack (D, ...) for a value (...).
    """

    stack: Tensor
    unit: float = 1.0
    ordered: bool = True

    @property
    def levels(self) -> int:
        """D, the number of sub-steps."""
        return int(self.stack.shape[0])

    def total(self) -> Tensor:
        """The value."""
        return self.stack[0] if self.levels == 1 else self.stack.sum(0)

    def count(self) -> Tensor:
        """The integers: how many sub-steps fire."""
        return (self.stack != 0).sum(0)

    def each(self, fn: Callable[[Tensor], Any]) -> Any:
        """`fn`, which moves or compares elements, done to each sub-step; a `Spikes` for each of its outputs."""
        results = [fn(part) for part in self.stack.unbind(0)]
        if isinstance(results[0], (tuple, list)):
            return tuple(replace(self, stack=torch.stack(parts)) for parts in zip(*results, strict=True))
        return replace(self, stack=torch.stack(results))

    def batched(self, fn: Callable[[Tensor], Tensor], rank: int) -> Tensor:
        """`fn`, which takes a batch of any size along axis 0 of `rank` axes, done to all sub-steps at once.

        *Shapes*: fn (N, ...) -> (N, ...), result (D, ...).
        """
        if self.stack.dim() == rank:
            # a value without a batch: its sub-steps are one
            return fn(self.stack)
        return fn(self.stack.flatten(0, 1)).unflatten(0, (self.levels, -1))

    def as_thermometer(self) -> Spikes:
        """The same integers with the ones first: D comparisons of the count."""
        if self.ordered:
            return self
        return thermometer(self.total(), self.levels, self.unit)


def thermometer(value: Tensor, levels: int, unit: float = 1.0) -> Spikes:
    """Integers 0..levels times `unit` as a thermometer code.

    >>> thermometer(torch.tensor([0.0, 2.0, 3.0]), levels=3).stack.tolist()
    [[0.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]
    """
    # between two integers, so that a unit that is no power of two cannot round across
    limits = (torch.arange(levels, dtype=value.dtype, device=value.device) + 0.5) * unit
    fired = value.unsqueeze(0) > limits.view(-1, *[1] * value.dim())
    stack = fired.to(value.dtype)
    return Spikes(stack if unit == 1.0 else stack * unit, unit)


def joined(x: Spikes, y: Spikes) -> Spikes:
    """x + y, of one unit and one shape: the sub-steps of both, one after the other."""
    return Spikes(torch.cat([x.stack, y.stack]), x.unit, ordered=False)


def both(x: Spikes, y: Spikes) -> Spikes:
    """x y elementwise: a sub-step for each pair of theirs, which fires where both do."""
    rank = max(x.stack.dim(), y.stack.dim())
    pairs = (_ranked(x, rank).unsqueeze(1) * _ranked(y, rank).unsqueeze(0)).flatten(0, 1)
    ordered = (x.levels == 1 and y.ordered) or (y.levels == 1 and x.ordered)
    return Spikes(pairs, x.unit * y.unit, ordered)


def contracted(x: Tensor | Spikes, y: Tensor | Spikes) -> Tensor:
    """x @ y, of two axes or more: one contraction over all pairs of their sub-steps."""
    left = x.stack.unbind(0) if isinstance(x, Spikes) else (x,)
    right = y.stack.unbind(0) if isinstance(y, Spikes) else (y,)
    return torch.cat([a for a in left for _ in right], -1) @ torch.cat([b for _ in left for b in right], -2)


def _ranked(x: Spikes, rank: int) -> Tensor:
    """The sub-steps as they broadcast to values of `rank` - 1 axes."""
    return x.stack[(slice(None), *[None] * (rank - x.stack.dim()))]


def largest(x: Spikes, y: Spikes) -> Spikes:
    """The larger of two codes of one unit, element by element and sub-step by sub-step."""
    x, y = x.as_thermometer(), y.as_thermometer()
    levels = max(x.levels, y.levels)
    return Spikes(torch.maximum(_padded(x, levels), _padded(y, levels)), x.unit)


def _padded(x: Spikes, levels: int) -> Tensor:
    silent = x.stack.new_zeros((levels - x.levels, *x.stack.shape[1:]))
    return torch.cat([x.stack, silent]) if levels > x.levels else x.stack
