"""What the audit knows about one tensor of the graph.

*Equation*: value = gain * base + offset, elementwise. The base is a constant, the input image, an
integer n or a real number; gain and offset are constants that have not been multiplied or added yet:
the consumer decides whether they fold into a weight or a threshold, or cost something.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from spikedrive.auditing import spread
from spikedrive.auditing.spread import Spread
from spikedrive.ops.domain import Domain

Base = Literal["constant", "image", "integer", "real"]
Origin = Literal["fired", "sum", "product"]
"""Where integers come from: a neuron (or a comparison), a sum of such, or a product of sums."""

LARGEST = 2**53
"""Integers beyond this are treated as real: fp64 does not hold them all."""


@dataclass(frozen=True)
class Fold:
    """A linear operation that a constant can still fold into: `tags` name its output channels, -1 none."""

    node: str
    tags: Spread


@dataclass(frozen=True)
class Value:
    """One tensor: its base, the bounds of its elements, and what is deferred.

    `low` and `high` bound the elements with gain and offset applied. `integers` is the range of n;
    `levels` is the bound that a neuron declares for n, where n comes straight from one. `deferred` names
    the nodes whose multiplications wait in `gain`. `folds` are the linear operations whose output this is.
    `repeats` is the number of equal copies of one static input that it holds, `steps` the number of steps that an
    encoder made of one static input.
    """

    base: Base
    shape: tuple[int, ...]
    low: Spread
    high: Spread
    gain: Spread
    offset: Spread
    integers: Domain | None = None
    origin: Origin | None = None
    levels: int | None = None
    weighted: bool = False
    deferred: tuple[str, ...] = ()
    folds: tuple[Fold, ...] = ()
    repeats: int = 1
    steps: int = 1
    tensor: Tensor | None = None

    @property
    def literal(self) -> Spread:
        """The elements of a constant."""
        assert self.tensor is not None
        return spread.ranked(self.tensor.detach().to("cpu", torch.float64), self.rank)

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def count(self) -> int:
        """The number of elements."""
        return int(torch.Size(self.shape).numel())

    @property
    def has_gain(self) -> bool:
        """Whether a multiplication is deferred."""
        return not bool((self.gain == 1).all())

    @property
    def has_offset(self) -> bool:
        """Whether an addition is deferred."""
        return not bool((self.offset == 0).all())

    @property
    def kind(self) -> str:
        """`constant`, `image`, `spike`, `ternary`, `integer`, `count`, `membrane` or `real`."""
        if self.base == "integer" and self.integers is not None:
            if self.origin != "fired":
                return "count"
            return {"binary": "spike"}.get(self.integers.kind, self.integers.kind)
        return "membrane" if self.base == "real" and self.weighted else self.base

    @property
    def domain(self) -> str:
        """The values in words, such as `binary 0..1` or `integer 0..4 x 0.25`."""
        if self.base != "integer" or self.integers is None:
            return self.kind
        n = self.integers
        if not spread.is_uniform(self.gain):
            return f"{n.kind} {n.low}..{n.high} x one constant a channel"
        return str(Domain(n.low, n.high, abs(float(self.gain.flatten()[0])) or 1.0))

    @property
    def largest(self) -> int:
        """The largest number of unit additions that one element can cost."""
        assert self.integers is not None
        return self.integers.levels

    def viewed(self, shape: Sequence[int], change: Callable[[Spread], Spread]) -> Value:
        """The value after a view that does `change` to everything attached to it."""

        def changed(attached: Spread) -> Spread:
            # a view of no elements keeps nothing
            result = change(attached)
            return result if result.numel() else attached.new_zeros((1,) * result.dim())

        return replace(
            self,
            shape=tuple(map(int, shape)),
            low=changed(self.low),
            high=changed(self.high),
            gain=changed(self.gain),
            offset=changed(self.offset),
            folds=tuple(Fold(f.node, changed(f.tags)) for f in self.folds),
            tensor=None if self.tensor is None else change(spread.ranked(self.tensor, self.rank)),
        )

    def grown(self, shape: Sequence[int]) -> Value:
        """The value as it broadcasts to `shape`."""
        return (
            self
            if tuple(map(int, shape)) == self.shape
            else self.viewed(shape, lambda s: spread.ranked(s, len(shape)))
        )


def of_constant(tensor: Tensor, shape: Sequence[int] | None = None) -> Value:
    """A tensor whose elements are known; `tensor` may be a spread of `shape`."""
    shape = tuple(tensor.shape) if shape is None else tuple(map(int, shape))
    empty = tensor.numel() == 0 or tensor.is_complex()
    low, high = (0.0, 0.0) if empty else map(float, tensor.detach().aminmax())
    bounds = spread.constant(low, len(shape)), spread.constant(high, len(shape))
    # weights are large: converted where somebody asks, not here
    return Value("constant", shape, *bounds, *_plain(len(shape)), tensor=tensor)


def of_integers(
    shape: Sequence[int], integers: Domain, origin: Origin, *, levels: int | None = None
) -> Value:
    """Integers times the scale of their domain."""
    rank = len(shape)
    scale, zero = spread.constant(integers.scale, rank), spread.constant(0, rank)
    low, high = scale * integers.low, scale * integers.high
    plain = Domain(integers.low, integers.high)
    return Value("integer", tuple(map(int, shape)), low, high, scale, zero, plain, origin, levels)


def of_real(
    shape: Sequence[int], low: Spread, high: Spread, *, weighted: bool = False, folds: tuple[Fold, ...] = (),
    repeats: int = 1, base: Base = "real",
) -> Value:  # fmt: skip
    """Real numbers between `low` and `high`."""
    rank = len(shape)
    # inf - inf says nothing
    low = torch.nan_to_num(spread.ranked(low, rank), nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    high = torch.nan_to_num(spread.ranked(high, rank), nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
    return Value(
        base,
        tuple(map(int, shape)),
        low,
        high,
        *_plain(rank),
        weighted=weighted,
        folds=folds,
        repeats=repeats,
    )


def unbounded(shape: Sequence[int], *, base: Base = "real", repeats: int = 1) -> Value:
    """Real numbers about which nothing is known."""
    rank = len(shape)
    return of_real(
        shape, spread.constant(-torch.inf, rank), spread.constant(torch.inf, rank), base=base, repeats=repeats
    )


def _plain(rank: int) -> tuple[Spread, Spread]:
    return spread.constant(1, rank), spread.constant(0, rank)
