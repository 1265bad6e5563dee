"""A program one step at a time: what it carries, and which operations can go step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spikedrive import native
from spikedrive.engine import pack
from spikedrive.engine.arithmetic import Add, Conv2d, Linear, MaxPool2d, Scale, Shift, Sum, SumSteps
from spikedrive.engine.interpreter import interpret
from spikedrive.engine.ir import Input, Neuron, Op, Value, check_reach
from spikedrive.engine.layout import Concat, Pad, Permute, Reshape, Slice
from spikedrive.engine.measure.costs import in_use
from spikedrive.errors import ShapeError, StateError, unknown_name

if TYPE_CHECKING:
    from spikedrive.engine.runtime import Program, Result

MOST_STEPS = 2**32
"""How many steps a stream takes without a reset, or half as many as often as sums would leave 64 bits."""
ROUNDING = 8
"""How far a leak that rounds down can take a charged membrane beyond one that is exact."""


@dataclass(frozen=True, eq=False)
class State:
    """What a stream carries after `steps` steps, by the name of the operation.

    *Shapes*: (B, *shape) int64.
    *Units*: a membrane in 2**-fraction of the unit of what its neuron reads; a sum in that of what it adds up.
    """

    steps: int
    arrays: dict[str, np.ndarray]


class Stream:
    """One live input of a program: each call takes one step and gives the answer to everything so far.

    *Equation*: a step computes every operation on that step's input alone, but for two that go on:

        Neuron with `carry`   starts from the membrane that the step before left, at first from `rest`
        SumSteps              y = (its sum after the step before, at first 0) + x

    Every other operation, a neuron without `carry` included, forgets. After step t, for t up to the program's steps T,
    all of them hold what the whole run holds at its step t, so that step T gives the logits of the whole run; a static
    image is given again at each step, as a `Direct` encoder shows it. A mean over the steps stays a sum of integers,
    and one unit of the answer is worth T / t times the program's: the mean over the steps so far. A program of one step
    has no mean over steps, and answers for each step alone.

    Beyond step T nothing changes: the same equations, in which `v >> decay` rounds down to a unit of 2**-fraction
    where no fraction bits are left for an exact leak.

    *Shapes*: x (B, ...), one step without the time axis -> logits (B, K).
    *Raises*: StateError for a program whose operations see several steps at once, after `most_steps` steps, and for
    a state of another program; ShapeError for another batch than the state's; DtypeError and ValueRangeError as
    `Program.run`.
    """

    def __init__(self, program: Program, runtime: str | None = None, threads: int | None = None) -> None:
        from spikedrive.engine.runtime import takes_native, thread_count

        self.program = program
        self._ops, self._averages = one_step(program.ops, program.values)
        self._values, self.most_steps = step_values(self._ops)
        carried = {
            op.name for op in self._ops if isinstance(op, SumSteps) or (isinstance(op, Neuron) and op.carry)
        }
        self._memory: _Interpreted | _Native = (
            _Native(self._ops, self._values, carried, thread_count(threads))
            if takes_native(runtime)
            else _Interpreted(self._ops, self._values, carried)
        )
        self._steps = self._batch = 0

    def __call__(self, x: Any, *, tensors: Sequence[str] = ()) -> Result:
        """The answer after one more step, and the integers of the operations named in `tensors` at this step.

        Raises: UnknownNameError for an operation that there is not.
        """
        from spikedrive.engine.runtime import Result

        step = self.program.check_input(x, steps=1)
        if self._steps and self._memory.carried and self._batch != step.shape[1]:
            raise ShapeError(
                f"The stream got a step of {step.shape[1]} samples; it holds the state of {self._batch} and takes as "
                "many. Call reset() before another batch, or make a stream for each."
            )
        if self._steps == self.most_steps:
            raise StateError(
                f"The stream got step {self._steps + 1}; it takes {self.most_steps}, beyond which its sums could leave "
                "64 bits. Call reset() now and then."
            )
        for name in tensors:
            if name not in self._values:
                raise unknown_name("operation", name, self._values)
        logits, *kept = self._memory.step(step, [self._ops[-1].name, *tensors])
        self._steps, self._batch = self._steps + 1, step.shape[1]
        averages = self._ops[-1].name in self._averages
        scale = self.program.output.scale * (self.program.steps / self._steps if averages else 1)
        found = dict(zip(tensors, kept, strict=True))
        return Result(logits.astype(np.int64), scale, tensors=found)

    def reset(self) -> None:
        """Forget the input so far."""
        self._steps = 0
        self._memory.arrays = {}

    @property
    def state(self) -> State:
        """A copy of what is carried; assign it to go on from there, in any stream of the same program."""
        return State(self._steps, self._memory.arrays)

    @state.setter
    def state(self, state: State) -> None:
        carried = self._memory.carried
        shapes = {name: array.shape[1:] for name, array in state.arrays.items()}
        batches = {len(array) for array in state.arrays.values() if array.ndim}
        wanted = {name: self._values[name].shape for name in carried} if state.steps else {}
        kinds = {array.dtype for array in state.arrays.values()}
        if shapes != wanted or len(batches) > 1 or not kinds <= {np.dtype(np.int64)} or state.steps < 0:
            raise StateError(
                f"The stream got a state of {len(shapes)} arrays after {state.steps} steps; it takes int64 (B, ...) "
                f"for each of the {len(carried)} that this program carries. Take the state of a stream of this program."
            )
        self._steps, self._batch = state.steps, max(batches, default=0)
        self._memory.arrays = state.arrays


class _Interpreted:
    """What goes on from step to step, in NumPy: the specification."""

    def __init__(self, ops: Sequence[Op], values: dict[str, Value], carried: set[str]) -> None:
        self._ops, self._values, self.carried = ops, values, carried
        self._arrays = dict[str, np.ndarray]()

    def step(self, x: np.ndarray, names: Sequence[str]) -> list[np.ndarray]:
        """What the named operations (B, ...) hold at one step (1, B, ...)."""
        found = interpret(self._ops, self._values, x, set(names), self._arrays)
        return [found[name][0] for name in names]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Copies, by the name of the operation; empty before the first step."""
        return {name: array.astype(np.int64) for name, array in self._arrays.items()}

    @arrays.setter
    def arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = {name: array.copy() for name, array in arrays.items()}


class _Native:
    """The same in the compiled engine, where membranes stay as its kernels read them."""

    def __init__(self, ops: Sequence[Op], values: dict[str, Value], carried: set[str], threads: int) -> None:
        bounds = [(values[op.name].low, values[op.name].high, values[op.name].peak) for op in ops]
        isa = native.engine_level()
        self._engine = native.run.Engine(pack.dump({}, ops), isa, bounds, costs=in_use(isa))
        self._places = {op.name: place for place, op in enumerate(ops)}
        self.carried, self._threads, self._state = carried, threads, native.run.State()

    def step(self, x: np.ndarray, names: Sequence[str]) -> list[np.ndarray]:
        """What the named operations (B, ...) hold at one step (1, B, ...)."""
        # wider integers than bytes go in as the bytes of 32 bits each
        wide = np.ascontiguousarray(x, np.uint8 if x.itemsize == 1 else np.int32).view(np.uint8)
        places = [self._places[name] for name in names]
        found = self._engine.step(wide, x.shape[1], places, self._threads, self._state)
        return [array[0] for array in found]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Copies, by the name of the operation; empty before the first step."""
        found = {name: self._state.get(self._places[name]) for name in self.carried}
        return {name: array[0].copy() for name, array in found.items() if array is not None}

    @arrays.setter
    def arrays(self, arrays: dict[str, np.ndarray]) -> None:
        self._state = native.run.State()
        for name, array in arrays.items():
            self._state.set(self._engine, self._places[name], np.ascontiguousarray(array))


def one_step(ops: Sequence[Op], values: dict[str, Value]) -> tuple[list[Op], set[str]]:
    """The operations as they are at one step, and the names of those whose unit is that of a mean over the steps.

    *Raises*: StateError for an operation that sees several steps at once.
    """
    steps = max(value.steps for value in values.values())
    summed, averaged = set[str](), set[str]()
    for op in ops:
        behind = summed.intersection(op.inputs)
        own = op.steps if isinstance(op, (Neuron, SumSteps)) else steps
        if own != steps:
            _refuse(op, f"has {own} steps where the program has {steps}")
        if behind and (isinstance(op, (Neuron, SumSteps)) or values[op.name].steps > 1):
            _refuse(op, f"sees {min(behind)!r}, a sum over all steps, at each of them")
        if averaged.intersection(op.inputs):
            if not _keeps_factors(op, averaged):
                _refuse(op, "adds to a mean over the steps what does not grow with them")
            averaged.add(op.name)
        if isinstance(op, SumSteps) or behind:
            summed.add(op.name)
        if isinstance(op, SumSteps) and op.mean and steps > 1:
            averaged.add(op.name)
    return [replace(op, steps=1) if isinstance(op, (Input, Neuron, SumSteps)) else op for op in ops], averaged


def step_values(ops: Sequence[Op]) -> tuple[dict[str, Value], int]:
    """The bounds of every operation of one step, and after how many steps at most they hold.

    A neuron that leaks is bounded for ever; one that does not, and a sum, by the number of steps.
    """
    most = MOST_STEPS
    while most:
        values: dict[str, Value] = {}
        try:
            for op in ops:
                value = values[op.name] = _bounded(op, [values[name] for name in op.inputs], most)
                check_reach(op, max(value.peak, value.magnitude))
            return values, most
        except ShapeError:
            most //= 2
    raise StateError("The program's sums can leave 64 bits where a leak rounds; a stream takes a program with room "
                     "for that. Compile it with fewer weight bits.")  # fmt: skip


def _bounded(op: Op, inputs: Sequence[Value], most: int) -> Value:
    if isinstance(op, SumSteps):
        # after 1 to `most` steps, in the same unit after each
        (x,) = inputs
        return replace(
            x, low=min(x.low * most, x.low), high=max(x.high * most, x.high), peak=x.magnitude * most
        )
    if not (isinstance(op, Neuron) and op.carry):
        return op.infer(*inputs)
    if op.decay:
        value = op.infer(*inputs)
        return replace(value, peak=value.peak + ROUNDING)
    return replace(replace(op, steps=most).infer(*inputs), steps=1)


def _keeps_factors(op: Op, averaged: set[str]) -> bool:
    """Whether f times every input that is a mean gives f times the result."""
    if isinstance(op, (Conv2d, Linear)):
        return not op.bias.any()
    if isinstance(op, Pad):
        return op.value == 0
    kinds = (Add, Concat, MaxPool2d, Permute, Reshape, Scale, Shift, Slice, Sum)
    return isinstance(op, kinds) and averaged.issuperset(op.inputs)


def _refuse(op: Op, why: str) -> None:
    raise StateError(
        f"Operation {op.name!r} ({type(op).__name__}, of module {op.module or '(the model itself)'!r}) {why}; a stream "
        "takes programs that need one step at a time. Call Program.run on the whole input instead."
    )
