"""The walk over an audited graph: each operation's rule turns it into a draft.

A value of the graph has leading axes, time and batch in some arrangement, and the axes of one sample.
A draft knows the sample's axes alone; how many steps the leading axes hold is kept beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from spikedrive.auditing.trace import Batched, Graph, Node, Ref
from spikedrive.engine.ir import Input, Op
from spikedrive.engine.lower.draft import Draft, Unit
from spikedrive.errors import LoweringError
from spikedrive.ops.domains import bind
from spikedrive.registry import Registry


@dataclass(frozen=True)
class Wire:
    """A value of the graph: its draft, and the number of steps that its leading axes hold."""

    draft: Draft
    lead: int


@dataclass(frozen=True)
class Pieces:
    """The outputs of a split, made when they are asked for: ranges along one axis of a sample."""

    source: Wire
    axis: int
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Layout:
    """Where the sample begins in a shape of the graph: after `axis`; `extra` of its elements stand in that axis."""

    axis: int
    extra: int
    item: tuple[int, ...]

    def item_axis(self, axis: int, rank: int) -> int | None:
        """The sample's axis for one of the graph's, or None for a leading one."""
        axis %= rank
        return None if axis <= self.axis else axis - self.axis - 1 + (self.extra > 1)


Rule = Callable[["Walk", Node], Wire | Pieces]

RULES: Registry[Rule] = Registry("lowering rule")


def rule(*operations: str) -> Callable[[Rule], Rule]:
    """Decorator: how these operations of a graph are lowered."""

    def add(function: Rule) -> Rule:
        for operation in operations:
            RULES.add(operation, function)
        return function

    return add


class Walk:
    """What the rules share: the drafts so far, and the wires of the graph's values."""

    def __init__(self, graph: Graph, mean: np.ndarray, std: np.ndarray) -> None:
        self.graph, self.mean, self.std = graph, mean, std
        self.drafts: list[Draft] = []
        self.targets: set[str] = set()
        self._wires: dict[str, Wire | Pieces] = {}

    def run(self) -> Draft:
        """Lower every operation that the answer needs; gives the answer's draft."""
        if len(self.graph.outputs) != 1 or not self.graph.dynamic:
            what = f"{len(self.graph.outputs)} answers" if self.graph.dynamic else "a fixed batch size"
            raise LoweringError(
                f"The model has {what}; a program takes any batch and gives one tensor of logits. "
                "Return the logits alone, and do not reshape by a fixed batch size."
            )
        answer = self.graph.outputs[0]
        for node in self._needed(answer):
            if node.op == "constant":
                continue
            if node.op == "input":
                self._wires[node.name] = self._input(node)
            elif node.op in RULES:
                self._wires[node.name] = RULES[node.op](self, node)
            else:
                self.refuse(node, "has no rule to lower it", f"The engine knows {', '.join(RULES)}")
        wire = self.wire(self.graph[answer], Ref(answer))
        if wire.lead != 1 or len(wire.draft.shape) != 1:
            self.refuse(
                self.graph[answer],
                f"gives the answer, {wire.lead} steps of shape {wire.draft.shape} per sample",
                "A program gives one row of logits (K,); end the model with the mean over its steps",
            )
        return wire.draft

    def wire(self, node: Node, argument: Any) -> Wire:
        """The value that `argument` of `node` refers to."""
        found = self._wires.get(argument.name) if isinstance(argument, Ref) else None
        if not isinstance(found, Wire):
            what = (
                f"the parameter {self.graph[argument.name].target!r}"
                if isinstance(argument, Ref)
                else repr(argument)
            )
            self.refuse(
                node, f"combines activations with {what}",
                "A program adds and multiplies activations, and constants that are powers of two; fold it into a "
                "weight or bias",
            )  # fmt: skip
        return found

    def pieces(self, argument: Any) -> Pieces | Wire | None:
        """What a getitem refers to."""
        return self._wires.get(argument.name)

    def constant(self, argument: Any) -> np.ndarray | None:
        """The value of a constant argument in fp64."""
        if isinstance(argument, Ref) and argument.name in self.graph.constants:
            return self.graph.constants[argument.name].double().cpu().numpy()
        return np.array(argument, float) if isinstance(argument, (int, float)) else None

    def layout(self, node: Node, shape: Sequence[int], lead: int) -> Layout:
        """Where the sample begins in `shape` when its leading axes hold `lead` steps."""
        axis = next((i for i, size in enumerate(shape) if isinstance(size, Batched) and size.slope), None)
        before = math.prod(shape[:axis]) if axis is not None else 0
        if axis is None or before not in (1, lead) or before * shape[axis] % lead:
            self.refuse(node, f"arranges time and batch as {tuple(map(int, shape))}",
                        "Time stands first and batch second, or both in one axis (ops.fold.over_time)")  # fmt: skip
        extra = before * shape[axis] // lead
        return Layout(
            axis, extra, ((extra,) if extra > 1 else ()) + tuple(int(size) for size in shape[axis + 1 :])
        )

    def item_axes(self, node: Node, wire: Wire, axes: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
        """The sample's axes for those of the graph's `shape`; leading ones are refused."""
        layout = self.layout(node, shape, wire.lead)
        found = [layout.item_axis(axis, len(shape)) for axis in axes]
        if None in found:
            self.refuse(node, f"works along time or batch (axes {tuple(axes)})", "Between encoder and readout "
                        "only neurons look at time")  # fmt: skip
        return tuple(axis for axis in found if axis is not None)

    def shape(self, argument: Ref) -> tuple[int, ...]:
        """The graph's shape of a value."""
        return self.graph[argument.name].shape

    def add(self, draft: Draft, lead: int) -> Wire:
        """Take a draft into the program."""
        self.drafts.append(draft)
        return Wire(draft, lead)

    def like(self, node: Node, kind: type[Op], wire: Wire, fields: dict[str, Any], **changes: Any) -> Wire:
        """Take in a draft of one input that keeps its unit and bound."""
        source = wire.draft
        draft = Draft(kind, node.name, node.module, (source,), source.shape, source.unit, fields,
                      high=source.high, raw=source.raw)  # fmt: skip
        return self.add(replace(draft, **changes), wire.lead)

    def refuse(self, node: Node, what: str, advice: str) -> NoReturn:
        """Raise LoweringError for an operation."""
        raise LoweringError(f"{node.op} in {node.where} {what}. {advice}.")

    def _input(self, node: Node) -> Wire:
        lead = int(node.shape[0]) if self.graph.batch_axis == 1 else 1
        item = self.layout(node, node.shape, lead).item
        draft = Draft(
            Input, node.name, "", (), item, Unit(), {"shape": item, "steps": lead}, high=255, raw=True
        )
        return self.add(draft, lead)

    def _needed(self, answer: str) -> list[Node]:
        """The nodes that the answer depends on, in order; a neuron's first membrane is not one of them."""
        needed = {answer}
        for node in reversed(self.graph.nodes):
            if node.name in needed:
                # the scans read x first; their other tensors are the rest state and a learned decay
                needed.update(node.refs[:1] if node.op.startswith("spikedrive.") else node.refs)
        return [node for node in self.graph.nodes if node.name in needed]


def arguments(node: Node) -> dict[str, Any]:
    """The arguments of an operation by their names, defaults included."""
    assert node.function is not None
    return bind(node.function, node.args, node.kwargs)  # type: ignore[arg-type]


def pair(value: Any) -> tuple[int, int]:
    """A size for both axes as two."""
    both = (value, value) if isinstance(value, int) else tuple(value)
    return (both[0], both[-1])
