"""One operation under audit, and where its constants go: into a weight, a threshold, or a count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from spikedrive.auditing import spread
from spikedrive.auditing.ledger import Event, Ledger, Tally
from spikedrive.auditing.spread import Spread
from spikedrive.auditing.trace import Batched, Graph, Node, Ref
from spikedrive.auditing.value import LARGEST, Origin, Value, of_constant, of_integers, of_real, unbounded
from spikedrive.errors import AuditError
from spikedrive.ops import domains
from spikedrive.ops.domain import Domain

NOT_FOLDED = "the constant folds into no weight and no threshold: what it scales goes elsewhere too"
FOLD_IT = "scale before a neuron or right after a linear layer whose output nothing else reads, or use a power of two"


class Step:
    """One node with the values that it reads: `step["weight"]` by the operation's own argument names."""

    def __init__(self, graph: Graph, node: Node, values: dict[str, Any], ledger: Ledger) -> None:
        self.graph, self.node, self.ledger = graph, node, ledger
        self.shape = tuple(map(int, node.shape))
        self._values = values
        if isinstance(node.function, torch._ops.OpOverload):
            self._arguments = domains.bind(node.function, node.args, node.kwargs)
        else:
            self._arguments = {str(i): a for i, a in enumerate(node.args)} | dict(node.kwargs)

    def __getitem__(self, key: str) -> Any:
        """The argument; a `Value` (or a list of them) in place of a tensor."""
        return self._read(self._arguments[key])

    def get(self, key: str, default: Any = None) -> Any:
        """The argument, or `default` where the operation has none of that name."""
        return self[key] if key in self._arguments else default

    def value(self, key: str) -> Value:
        """The argument as a `Value`; numbers become constants, but for those that follow the batch."""
        argument = self[key]
        if isinstance(argument, Batched):
            return unbounded(())
        if isinstance(argument, Value):
            return argument
        if not isinstance(argument, (int, float, bool)):
            raise AuditError(
                f"{self.node.op} in {self.node.where} got {argument!r} for {key!r}; a tensor was expected."
            )
        return of_constant(torch.tensor(float(argument), dtype=torch.float64))

    def name(self, key: str) -> str:
        """The node that the argument comes from."""
        argument = self._arguments[key]
        return argument.name if isinstance(argument, Ref) else ""

    def held(self, name: str) -> Value:
        """What node `name` holds."""
        return self._values[name]

    def axes(self, key: str, rank: int) -> list[int]:
        """The argument as axes counted from the front; all where it is None or empty."""
        axes = self._arguments[key]
        axes = range(rank) if axes is None or axes == [] else [axes] if isinstance(axes, int) else axes
        return [axis % rank for axis in axes] if rank else []

    @property
    def tally(self) -> Tally:
        """What this node costs."""
        return self.ledger[self.node.name]

    @property
    def count(self) -> int:
        """The number of elements of the (first) output."""
        return int(torch.Size(self.shape).numel())

    def _read(self, argument: Any) -> Any:
        if isinstance(argument, (list, tuple)):
            return [self._read(a) for a in argument]
        if not isinstance(argument, Ref):
            return argument
        value = self._values[argument.name]
        return replace(value, folds=()) if self._shared(argument.name) and isinstance(value, Value) else value

    def _shared(self, name: str) -> bool:
        """Whether anything but this one argument reads the node."""
        users = self.graph[name].users
        return len(users) > 1 or name in self.graph.outputs or self.node.refs.count(name) > 1


def affine(step: Step, x: Value, gain: Spread, offset: Spread) -> Value:
    """gain * x + offset: folded into the linear operation that x comes from, or deferred.

    *Multiplies*: nothing yet; a gain that no consumer takes is charged to this node by `materialise`.
    """
    rank = len(step.shape)
    x, gain, offset = x.grown(step.shape), spread.ranked(gain, rank), spread.ranked(offset, rank)
    if x.base == "constant":
        return of_constant(gain * x.literal + offset, step.shape)
    scaled = _times(gain, x.low), _times(gain, x.high)
    low, high = torch.minimum(*scaled) + offset, torch.maximum(*scaled) + offset
    if x.folds and all(spread.is_function_of(c, f.tags) for f in x.folds for c in (gain, offset)):
        _fold_back(step, x, offset)
        return replace(x, low=low, high=high)
    unit = bool((gain.abs() == 1).all())
    x = replace(
        x, low=low, high=high, gain=gain * x.gain, offset=gain * x.offset + offset, folds=(),
        deferred=x.deferred if unit else (*x.deferred, step.node.name),
    )  # fmt: skip
    if x.base == "integer":
        return _shifted(x)
    if x.has_offset and not x.has_gain:
        step.tally.sums += step.count
        step.tally.kind = step.tally.kind or "constant added"
        return replace(x, offset=spread.constant(0, rank))
    return x


def _times(gain: Spread, bound: Spread) -> Spread:
    # zero times an unknown bound is zero
    return torch.where((gain == 0) | (bound == 0), torch.zeros((), dtype=torch.float64), gain * bound)


def _fold_back(step: Step, x: Value, offset: Spread) -> None:
    linear = [step.graph[f.node] for f in x.folds]
    if not bool((offset == 0).all()):
        for node in linear:
            if step.ledger.bias(node.name):
                step.ledger[node.name].sums += torch.Size(map(int, node.shape)).numel()
    step.tally.kind = step.tally.kind or "folded"
    step.tally.note = f"folds into {', '.join(dict.fromkeys(n.module or n.name for n in linear))}"


def _shifted(x: Value) -> Value:
    """Integers with a whole offset or a minus sign written as other integers, where that is no costlier."""
    assert x.integers is not None
    gain, offset = x.gain.flatten()[0], x.offset.flatten()[0]
    if not (spread.is_uniform(x.gain) and spread.is_uniform(x.offset)) or gain == 0:
        return x
    move = float(offset / gain)
    sign = -1 if gain < 0 else 1
    if not math.isfinite(move) or move != round(move):
        return x
    ends = sorted((sign * (x.integers.low + round(move)), sign * (x.integers.high + round(move))))
    moved = Domain(*ends)
    if move and moved.levels > x.integers.levels:
        return x
    return replace(
        x, integers=moved, gain=x.gain.abs(), offset=torch.zeros_like(x.offset),
        levels=None if x.levels is None else moved.levels,
    )  # fmt: skip


def absorb(step: Step, x: Value, what: str) -> None:
    """Note that what is deferred in x folds into the `what` of this node."""
    for name in x.deferred:
        tally = step.ledger[name]
        tally.kind = tally.kind or "folded"
        if not tally.note:
            tally.note = f"folds into the {what} of {step.node.module or step.node.name}"


def materialise(step: Step, x: Value, name: str) -> Value:
    """x with its gain and offset executed; `name` is the node that holds it.

    *Multiplies*: real by constant, one an element, unless powers of two; an integer that neurons bound
    times a constant is that many additions.
    """
    if x.base == "constant" or not (x.has_gain or x.has_offset):
        return x
    owner = step.ledger[x.deferred[-1]] if x.deferred else step.tally
    if x.has_gain and x.base == "integer":
        exact = None if x.has_offset else _shifted_apart(step, x)
        if exact is not None:
            return exact
        _multiply_integers(step, x, name)
    elif x.has_gain and not spread.is_sign(x.gain) and step.ledger.settle(owner.node.name):
        count = torch.Size(map(int, owner.node.shape)).numel()
        if spread.is_power_of_two(x.gain):
            owner.shifts += count
            owner.kind = "shift"
        else:
            _multiply_reals(owner, count)
    if x.has_offset:
        step.tally.sums += x.count
    base = "image" if x.base == "image" else "real"
    return of_real(x.shape, x.low, x.high, weighted=x.weighted, repeats=x.repeats, base=base)


def materialise_all(step: Step) -> None:
    """Execute whatever any operand still defers."""
    for name in dict.fromkeys(step.node.refs):
        value = step._values[name]
        if isinstance(value, Value):
            materialise(step, value, name)


def _multiply_reals(owner: Tally, count: int) -> None:
    owner.multiplications += count
    if owner.kind == "ternary weight" and owner.domain == "image":
        # signs times one constant a channel: the constant is what the first layer multiplies by
        owner.kind, owner.analog = "analog first layer", True
        return
    owner.kind, owner.note, owner.why, owner.replacement = "real x constant", "", NOT_FOLDED, FOLD_IT


def _shifted_apart(step: Step, x: Value) -> Value | None:
    """Integers times signs, zeros and powers of two are integers of the smallest of these."""
    assert x.integers is not None
    sizes = x.gain.abs()
    if not spread.is_power_of_two(x.gain) or not bool((sizes > 0).any()):
        return None
    unit = float(sizes[sizes > 0].amin())
    factors = x.gain / unit
    if not spread.is_sign(factors):
        step.tally.shifts += x.count
    ends = torch.stack([factors * x.integers.low, factors * x.integers.high])
    integers = Domain(int(ends.amin()), int(ends.amax()), unit)
    if integers.levels >= LARGEST:
        return None
    fired = x.origin == "fired" and spread.is_sign(factors)
    origin = x.origin if fired or x.origin == "product" else "sum"
    whole = of_integers(x.shape, integers, origin or "sum", levels=x.levels if fired else None)
    return replace(whole, low=x.low, high=x.high)


def charged(step: Step, x: Value, name: str, fanout: float) -> Event:
    """The event of x, which node `name` holds: perhaps smaller, as x broadcasts, or before a factor of this node."""
    held = step.held(name)
    gain, offset = (_as_held(s, x, held) for s in (x.gain, x.offset))
    if spread.is_uniform(gain / held.gain):
        gain, offset = held.gain, held.offset
    copies = x.count / max(1, held.count)
    return Event(name, held.shape, gain, offset, x.largest, spread.constant(fanout * copies, held.rank))


def _as_held(s: Spread, x: Value, held: Value) -> Spread:
    """What belongs to x, in the shape of the same elements as they are held, or before leading axes were added."""
    if x.count == held.count:
        return spread.reshaped(s, x.shape, held.shape)
    return s.reshape(s.shape[x.rank - held.rank :])


def _multiply_integers(step: Step, x: Value, name: str) -> None:
    tally = step.tally
    if spread.is_sign(x.gain):
        return
    if spread.is_power_of_two(x.gain):
        tally.shifts += x.count
    elif x.origin == "product":
        tally.multiplications += x.count
        tally.kind, tally.why = (
            "integer x constant",
            "no neuron bounds these integers, so they are no additions",
        )
        tally.replacement = "put a neuron before the scale"
    else:
        units = charged(step, x, name, 1)
        tally.events.append((units,))
        tally.kind, tally.domain, tally.observed = "integer x constant", x.domain, units


def add(step: Step, x: Value, y: Value, names: tuple[str, str]) -> Value:
    """x + y, both of the output's shape or broadcast to it."""
    rank = len(step.shape)
    for one, other, name in ((x, y, names[0]), (y, x, names[1])):
        if other.base == "constant":
            if not bool(torch.isfinite(other.literal).all()):
                # an integer and infinity is no integer
                one = materialise(step, one, name)
            return affine(step, one, spread.constant(1, rank), other.literal)
    folds = (*x.folds, *y.folds) if x.folds and y.folds else ()
    x, y = x.grown(step.shape), y.grown(step.shape)
    if x.base == y.base == "integer":
        joined = _add_integers(step, x, y)
        if joined is not None:
            return joined
    same = bool((x.gain == y.gain).all()) and x.base != "integer" and y.base != "integer"
    if not same:
        x, y = materialise(step, x, names[0]), materialise(step, y, names[1])
    step.tally.sums += step.count
    step.tally.kind = step.tally.kind or "addition"
    low, high = x.low + y.low, x.high + y.high
    sum_ = of_real(
        step.shape, low, high, weighted=x.weighted or y.weighted, folds=folds if not x.has_gain else (),
        repeats=x.repeats if x.repeats == y.repeats else 1, base="image" if x.base == y.base == "image" else "real",
    )  # fmt: skip
    if not same:
        return sum_
    # one constant on the sum, which may be larger than either
    executed_here = (step.node.name,) if x.has_gain else ()
    deferred = (*x.deferred, *y.deferred, *executed_here)
    return replace(sum_, gain=x.gain, offset=x.offset + y.offset, deferred=deferred)


def _add_integers(step: Step, x: Value, y: Value) -> Value | None:
    """The sum as integers of the finer scale, or None where the scales have no power of two between them."""
    assert x.integers is not None and y.integers is not None
    step.tally.kind = step.tally.kind or "integer addition"
    if not bool((x.gain == y.gain).all()):
        ratio = x.gain / y.gain
        if not (spread.is_uniform(ratio) and spread.is_power_of_two(ratio) and bool((ratio != 0).all())):
            return None
        finer, coarser = (y, x) if abs(float(ratio.flatten()[0])) >= 1 else (x, y)
        step.tally.shifts += step.count
        factor = round(float((coarser.gain / finer.gain).flatten()[0]))
        assert coarser.integers is not None
        ends = sorted((coarser.integers.low * factor, coarser.integers.high * factor))
        x, y = finer, replace(coarser, integers=Domain(*ends), gain=finer.gain)
    assert x.integers is not None and y.integers is not None
    step.tally.sums += step.count
    integers = Domain(x.integers.low + y.integers.low, x.integers.high + y.integers.high)
    origin: Origin = "product" if "product" in (x.origin, y.origin) else "sum"
    return within_range(
        replace(
            x, integers=integers, origin=origin, levels=None, low=x.low + y.low, high=x.high + y.high,
            offset=x.offset + y.offset, deferred=(*x.deferred, *y.deferred),
        )
    )  # fmt: skip


def within_range(x: Value) -> Value:
    """x, as a real number where its integers outgrow what fp64 holds exactly."""
    assert x.integers is not None
    return x if x.integers.levels < LARGEST else of_real(x.shape, x.low, x.high)


def exception(step: Step, kind: str, count: float, why: str, replacement: str) -> None:
    """Charge `count` real multiplications that stay, with the reason and the nearest exact replacement."""
    tally = step.tally
    tally.multiplications += count
    tally.kind, tally.why, tally.replacement = kind, why, replacement


def joined_origin(values: Sequence[Value]) -> tuple[Origin, int | None]:
    """Origin and levels of a tensor that holds elements of all `values`."""
    origins = {v.origin for v in values}
    if origins == {"fired"} and all(v.levels is not None for v in values):
        return "fired", max(v.levels or 0 for v in values)
    return ("product" if "product" in origins else "sum"), None
