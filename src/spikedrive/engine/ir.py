"""The integer program: one dataclass an operation, each with its equation and its proven bounds.

A program is a list of operations in order; each gives one integer tensor (T, B, *shape) named after it.
T is 1 for what does not change over time and the program's steps otherwise; B is free. An integer n
stands for the real number n * 2**exponent / divisor. Nothing is rounded: every operation is exact.
Needs numpy only.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from spikedrive.errors import ShapeError
from spikedrive.registry import Registry

INT64 = 2**63
MOST_STEPS = 2**16
MOST_ELEMENTS = 2**32
"""Per sample; more is a damaged or hostile file."""
MOST_AXES = 30
"""NumPy has 32, of which two are time and batch."""


@dataclass(frozen=True)
class Value:
    """What is known of one integer tensor (steps, B, *shape) before it exists.

    Units: every integer lies in [low, high]; no sum on the way to it exceeds `peak` in magnitude,
    in whatever order it is taken; the real number is integer * 2**exponent / divisor.
    """

    shape: tuple[int, ...]
    steps: int
    low: int
    high: int
    peak: int
    exponent: int = 0
    divisor: int = 1

    @property
    def scale(self) -> float:
        """The real number that one unit stands for."""
        return 2.0**self.exponent / self.divisor

    @property
    def magnitude(self) -> int:
        """The largest absolute value."""
        return max(abs(self.low), abs(self.high))


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """One operation; `name` is also the name of the tensor that it gives."""

    name: str
    inputs: tuple[str, ...]
    module: str = ""
    """The path of the module that it came from."""

    @abstractmethod
    def infer(self, *inputs: Value) -> Value:
        """What is known of the result; ShapeError where the inputs do not fit."""


OPS: Registry[type[Op]] = Registry("operation")

Class = TypeVar("Class", bound=type[Op])


def register_op(cls: Class) -> Class:
    """Class decorator: an operation that programs and files may hold."""
    OPS.add(cls.__name__, cls)
    return cls


def check(ops: Sequence[Op]) -> dict[str, Value]:
    """What is known of every tensor of the program, in order.

    Raises: ShapeError where an operation does not fit its inputs, reads what no earlier one gives,
    or could leave 64 bits.
    """
    values: dict[str, Value] = {}
    for op in ops:
        missing = [name for name in op.inputs if name not in values]
        if missing or op.name in values:
            what = f"reads {missing[0]!r}, which no earlier one gives" if missing else "is there twice"
            raise ShapeError(f"Operation {op.name!r} {what}; each reads earlier ones and has its own name. "
                             "Compile the model again.")  # fmt: skip
        value = op.infer(*(values[name] for name in op.inputs))
        check_reach(op, max(value.peak, value.magnitude, abs(value.exponent), value.divisor))
        fits = (
            1 <= value.steps <= MOST_STEPS
            and len(value.shape) <= MOST_AXES
            and min(value.shape, default=1) >= 1
        )
        if not fits or math.prod(value.shape) * value.steps > MOST_ELEMENTS:
            raise ShapeError(
                f"Operation {op.name!r} gives {value.steps} steps of shape {value.shape[: MOST_AXES + 1]}; a program "
                f"has 1 to {MOST_STEPS} steps, at most {MOST_AXES} axes of at least 1 and at most {MOST_ELEMENTS} "
                "values per sample. Compile a smaller model."
            )
        values[op.name] = value
    return values


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class Input(Op):
    """The raw bytes, or token ids: x in 0..high. Static input has steps 1."""

    shape: tuple[int, ...]
    steps: int = 1
    high: int = field(default=255, metadata={"omitted": True})

    @property
    def dtype(self) -> str:
        """The narrowest of uint8, uint16 and int32 that holds every integer."""
        return "uint8" if self.high < 2**8 else "uint16" if self.high < 2**16 else "int32"

    def infer(self, *inputs: Value) -> Value:
        take(self, inputs, 0)
        if not 1 <= self.high < 2**31:
            raise ShapeError(f"Operation {self.name!r} got integers up to {self.high}; a program takes those up to 1, "
                             "at the least, or 2147483647, at the most. Compile the model again.")  # fmt: skip
        return Value(self.shape, self.steps, 0, self.high, self.high)


@register_op
@dataclass(frozen=True, eq=False, kw_only=True)
class Neuron(Op):
    """Every integrate-and-fire neuron, binary or integer, as comparisons with a ladder of integers.

    Equation, at each step, with f = fraction, m = decay, r = rest and `repeats` charges per step:

        charge   h = (v >> m) + (r - (r >> m)) + X,   X = x << f, or (x << f) - ((x << f) >> m) (decay_input)
        fire     s = number of ladder[k] <= h
        reset    v = h - threshold * s   (soft),   v = r where s > 0, else h   (hard)
        output   the sum of s over the repeats

    v starts at r: once (carry), or at every step. Each charge needs m more fraction bits, so with
    f = m * charges every shift is exact. Half-even ties, strict thresholds and the like stand in the ladder.
    Shapes: x (T or 1, B, ...) -> (steps, B, ...). Units: ladder, threshold and rest in units of 2**-fraction of x.
    """

    ladder: tuple[int, ...]
    threshold: int
    steps: int
    exponent: int = 0
    hard: bool = False
    rest: int = 0
    decay: int = 0
    decay_input: bool = False
    carry: bool = False
    repeats: int = 1
    fraction: int = 0

    @property
    def charges(self) -> int:
        """How often a membrane is charged between two rests."""
        return self.repeats * (self.steps if self.carry else 1)

    def infer(self, *inputs: Value) -> Value:
        (x,) = take(self, inputs, 1)
        if x.steps not in (1, self.steps) or not self.ladder or list(self.ladder) != sorted(self.ladder):
            raise unfit(self, x, f"1 or {self.steps} steps and a rising ladder")
        needed = self.decay * self.charges
        if not 0 <= needed <= self.fraction < 64 or self.repeats < 1:
            raise unfit(self, x, f"{needed} fraction bits, at most 63, so that every leak is exact")
        charge, rest = x.magnitude << self.fraction, abs(self.rest)
        reset = 0 if self.hard else abs(self.threshold) * len(self.ladder)
        if self.decay and self.decay_input:
            # v <= a v + (1 - a) (c + rest) + reset with a <= 1 / 2 never passes c + rest + 2 reset; 4 for rounding
            reached = charge + rest + 2 * reset + 4
        elif self.decay:
            # v <= v / 2 + c never passes 2 c
            reached = 2 * (charge + rest + reset) + rest + charge + rest
        else:
            reached = self.charges * (charge + reset) + rest + charge + rest
        peak = max(reached, abs(self.ladder[0]), abs(self.ladder[-1]))
        return Value(x.shape, self.steps, 0, len(self.ladder) * self.repeats, peak, self.exponent)


def check_reach(op: Op, reached: int) -> None:
    """Raise ShapeError where a number on the way to a result may leave 64 bits."""
    if reached >= INT64:
        raise ShapeError(
            f"Operation {op.name!r} can reach {reached:.3g}; integers have 64 bits. "
            "Use fewer weight bits or fewer steps."
        )


def take(op: Op, inputs: tuple[Value, ...], count: int) -> tuple[Value, ...]:
    """The inputs of an operation that has `count` of them."""
    if len(inputs) != count:
        raise ShapeError(f"Operation {op.name!r} got {len(inputs)} inputs; {type(op).__name__} takes {count}. "
                         "Compile the model again.")  # fmt: skip
    return inputs


def unfit(op: Op, x: Value, accepted: str) -> ShapeError:
    """The error for an input that `op` cannot take."""
    return ShapeError(
        f"Operation {op.name!r} ({type(op).__name__}) got {x.steps} steps of shape {x.shape}; it takes {accepted}. "
        "Compile the model again."
    )
