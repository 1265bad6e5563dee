"""One pass over data, to see how much fires where."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spikedrive.auditing import spread
from spikedrive.auditing.ledger import Event
from spikedrive.auditing.spread import Spread
from spikedrive.auditing.trace import Graph, evaluate
from spikedrive.errors import AuditError, DtypeError, ShapeError, ValueRangeError

# elements of the largest tensor of a chunk, 16 MiB in fp32: a chunk costs no more memory than one large image
LARGEST_TENSOR = 2**22
# and of what is held in fp64 at once
LARGEST_PART = 2**20


@dataclass
class Activity:
    """What one event did on all samples."""

    additions: float = 0.0
    nonzero: float = 0.0
    total: float = 0.0
    elements: float = 0.0

    @property
    def density(self) -> float:
        """The share of elements that are not zero."""
        return self.nonzero / max(1.0, self.elements)

    @property
    def firing_rate(self) -> float:
        """The mean integer."""
        return self.total / max(1.0, self.elements)


@dataclass(frozen=True)
class Rates:
    """What events cost per sample: on all `samples` where `activity` was measured, else at worst.

    `batch` is the number of samples of the graph.
    """

    batch: int
    samples: int = 0
    activity: dict[int, Activity] | None = None

    def seen(self, event: Event | None) -> Activity | None:
        """What was measured of it."""
        return None if self.activity is None or event is None else self.activity[id(event)]

    def additions(self, event: Event) -> float:
        """The additions that it causes."""
        seen = self.seen(event)
        return event.worst / self.batch if seen is None else seen.additions / self.samples

    def spikes(self, event: Event) -> float:
        """Its unit spikes: an integer s is s of them."""
        seen = self.seen(event)
        return (
            event.largest * math.prod(event.shape) / self.batch if seen is None else seen.total / self.samples
        )


def samples_of(graph: Graph, data: tuple[Tensor, ...]) -> int:
    """The number of samples in `data`, checked against what the graph takes.

    Raises: ShapeError, DtypeError, ValueRangeError.
    """
    axis = graph.batch_axis
    wanted = [tuple(map(int, graph[name].shape)) for name in graph.inputs]
    if len(data) != len(wanted):
        raise ShapeError(
            f"audit got {len(data)} tensors as data; the model takes {len(wanted)}. Give one for each input, as in the "
            "example."
        )
    for x, name in zip(data, graph.inputs, strict=True):
        if x.dtype != graph[name].dtype:
            raise DtypeError(
                f"audit got data of {x.dtype}; the example was of {graph[name].dtype}. Convert the data with .to()."
            )
    for x, shape in zip(data, wanted, strict=True):
        if x.dim() != len(shape) or any(
            a != b for i, (a, b) in enumerate(zip(x.shape, shape, strict=True)) if i != axis
        ):
            raise ShapeError(
                f"audit got data of shape {tuple(x.shape)}; it takes {shape} with any number of samples along axis "
                f"{axis}, like the example. Give inputs as the model takes them."
            )
        if not bool(torch.isfinite(x).all()):
            raise ValueRangeError(
                "audit got data with NaN or infinity; it takes finite numbers. Clean the data."
            )
    count = int(data[0].shape[axis])
    if count == 0 or (not graph.dynamic and count % graph.batch):
        raise ShapeError(
            f"audit got {count} samples; this model takes batches of {'any size' if graph.dynamic else graph.batch}. "
            "Give at least one sample, in whole batches."
        )
    return count


def measure(
    graph: Graph,
    events: Iterable[Event],
    data: tuple[Tensor, ...],
    check: Callable[[str, Any], None] = lambda name, value: None,
) -> dict[int, Activity]:
    """The activity of each event, keyed by its `id`, over all of `data`; memory is that of one chunk.

    `check` is shown every node's value.
    """
    by_node: dict[str, list[tuple[Event, Activity]]] = {}
    activity: dict[int, Activity] = {}
    for event in events:
        if id(event) not in activity:
            activity[id(event)] = Activity()
            by_node.setdefault(event.node, []).append((event, activity[id(event)]))
    samples = samples_of(graph, data)
    for chunk in _chunks(graph, data, samples):
        for name, value in _run(graph, chunk):
            check(name, value)
            for event, seen in by_node.get(name, ()):
                _record(graph, event, seen, value)
    return activity


def _chunks(graph: Graph, data: tuple[Tensor, ...], samples: int) -> Iterator[tuple[Tensor, ...]]:
    largest = max(
        torch.Size(map(int, shape)).numel()
        for node in graph
        for shape in node.shapes
        if node.op != "constant"
    )
    size = max(1, min(samples, LARGEST_TENSOR // max(1, largest))) if graph.dynamic else graph.batch
    for start in range(0, samples, size):
        # the program's views hold for an example in one piece; a part of a batch along axis 1 is not
        yield tuple(x.narrow(graph.batch_axis, start, min(size, samples - start)).contiguous() for x in data)


def _run(graph: Graph, inputs: tuple[Tensor, ...]) -> Iterator[tuple[str, Any]]:
    """Every node's value in turn; each is forgotten after its last reader."""
    values: dict[str, Any] = {**graph.constants, **dict(zip(graph.inputs, inputs, strict=True))}
    waiting = {node.name: len(node.users) for node in graph}
    batch = inputs[0].shape[graph.batch_axis]
    with torch.no_grad():
        for node in graph:
            if node.name not in values:
                values[node.name] = evaluate(node, values, batch)
            yield node.name, values[node.name]
            for name in dict.fromkeys(node.refs):
                waiting[name] -= 1
                if not waiting[name]:
                    del values[name]


def _record(graph: Graph, event: Event, seen: Activity, value: Tensor) -> None:
    for part, gain, offset, fanout in _parts(value, event.gain, event.offset, event.fanout):
        n = _integers(part, gain, offset)
        most = float(n.amax()) if n.numel() else 0.0
        if most > event.largest + 1e-3:
            node = graph[event.node]
            raise AuditError(
                f"{node.op} in {node.where} gave the integer {most:g} on the data, beyond the {event.largest} that the "
                "audit proved; a rule or a declared domain is wrong. Correct it before trusting the audit."
            )
        seen.elements += n.numel()
        seen.nonzero += float(torch.count_nonzero(n))
        seen.total += float(n.sum(dtype=torch.float64))
        if spread.is_uniform(fanout):
            seen.additions += float(n.sum(dtype=torch.float64)) * float(fanout.flatten()[0])
            continue
        still = [axis for axis in range(n.dim()) if fanout.shape[axis] == 1]
        totals = n.sum(still, keepdim=True, dtype=torch.float64)
        seen.additions += float((totals.cpu() * fanout).sum())


def _parts(value: Tensor, *spreads: Spread) -> Iterator[tuple[Tensor, ...]]:
    """The value in slices with what belongs to each, so that copies in fp64 stay small."""
    axis = next((axis for axis, size in enumerate(value.shape) if size > 1), None)
    if axis is None or value.numel() <= LARGEST_PART:
        yield value, *spreads
        return
    for i in range(value.shape[axis]):
        yield tuple(x if x.shape[axis] == 1 else x.narrow(axis, i, 1) for x in (value, *spreads))


def _integers(value: Tensor, gain: Spread, offset: Spread) -> Tensor:
    if spread.is_uniform(gain) and not bool(offset.any()):
        one = float(gain.flatten()[0])
        return value.abs() if abs(one) == 1 else (value / one).abs()
    gain, offset = (c.to(value.device, torch.float64) for c in (gain, offset))
    return ((value - offset) / torch.where(gain == 0, torch.inf, gain)).abs()
