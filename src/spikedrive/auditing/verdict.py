"""`audit`: from a model to its verdict."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import spikedrive
from spikedrive.auditing import spread
from spikedrive.auditing.adapters import adapted
from spikedrive.auditing.bounds import Proof, declared_domains, propagate
from spikedrive.auditing.energy import TABLES, EnergyTable, Traffic, Work, table_of
from spikedrive.auditing.energy.movement import Mover
from spikedrive.auditing.ledger import Event, Tally
from spikedrive.auditing.measure import Activity, Rates, measure
from spikedrive.auditing.result import (
    Audit,
    LayerRow,
    MemoryUse,
    Remaining,
    TableEnergy,
    Verdict,
    totals_of,
)
from spikedrive.auditing.rules import RULES
from spikedrive.auditing.trace import trace
from spikedrive.neurons import Neuron
from spikedrive.ops.domain import Domain
from spikedrive.ops.domains import NEURON_OPS
from spikedrive.state import plain_path

RULES_VERSION = 4
"""Grows with every change of a rule that can change a verdict or a count."""


def audit(
    model: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    *,
    data: Tensor | tuple[Tensor, ...] | None = None,
    table: str | os.PathLike[str] | EnergyTable = "45nm",
    inputs: Sequence[Domain | None] = (),
    batch_axis: int | None = None,
) -> Audit:
    """Which multiplications `model` is left with in eval mode, and what each layer costs.

    `example` is one input as the model takes it. Counts are measured on `data` (inputs like the example, in
    one pass), or stand for the worst case without it. `inputs` declares the domain of inputs that are spikes
    or integers already; others are real, and layers that meet the first of the model's inputs are the analog ones.
    `table` prices the rows: a registered name, a TOML file, or an `EnergyTable`; the totals stand by every registered
    table too.

    Raises: AuditError for a model that cannot be exported, an operation without a rule, or a neuron whose
    declared domain does not hold its output; UnknownNameError for an unknown energy table; ConfigError for an unfit
    file of one.
    """
    energy = table_of(table)
    model = adapted(model)
    graph = trace(model, example, batch_axis=batch_axis, decompose=lambda op: op not in RULES, compared=True)
    proof = propagate(graph, inputs, declared_domains(model))
    tallies = proof.ledger.tallies()
    activity: dict[int, Activity] | None = None
    samples = 0
    given = () if data is None else tuple(data) if isinstance(data, (tuple, list)) else (data,)
    if given:
        watched = [
            e
            for t in tallies
            for e in (*(e for group in t.events for e in group), t.observed)
            if e is not None
        ]
        activity = measure(graph, watched, given, proof.check)
        samples = int(given[0].shape[graph.batch_axis])
    rates = Rates(graph.batch, samples, activity)
    mover = Mover(proof, rates, _steps(proof), _neurons(model))
    operations = [_Operation(tally, mover.work(tally), mover.dense(tally)) for tally in tallies]
    layers = tuple(_row(operation, energy, rates) for operation in operations)
    exceptions = tuple(
        _remaining(t, graph.batch) for t in tallies if not t.analog and (t.multiplications or t.functions)
    )
    card = getattr(model, "card", None)
    return Audit(
        model=getattr(card, "name", None) or type(model).__name__,
        verdict=_verdict(tallies),
        analog=tuple(dict.fromkeys(t.node.module for t in tallies if t.analog)),
        exceptions=exceptions,
        layers=layers,
        totals=totals_of(layers),
        basis="worst case" if data is None else "measured",
        samples=samples,
        table=energy.to_dict(),
        graph_hash=graph.digest(),
        rules_version=RULES_VERSION,
        steps=mover.steps,
        energies=tuple(_energy(operations, t) for t in _side_by_side(energy)),
        inputs=tuple(None if domain is None else asdict(domain) for domain in inputs),
        batch_axis=batch_axis,
        data_hash=data_hash(given),
    )


@dataclass(frozen=True)
class _Operation:
    """A tally with what it and its dense twin do for one sample."""

    tally: Tally
    work: Work
    dense: Work


def _steps(proof: Proof) -> int:
    """T, as far as the graph shows one: of a sequence, of a neuron's input, of an encoder."""
    graph = proof.graph
    if graph.batch_axis == 1:
        return max(1, int(graph[graph.inputs[0]].shape[0]))
    scans = [int(graph[node.refs[0]].shape[0]) for node in graph if node.op in NEURON_OPS]
    held = [v for value in proof.values.values() for v in (value if isinstance(value, tuple) else (value,))]
    return max(1, *scans, *(v.steps for v in held if v is not None))


def _neurons(model: nn.Module) -> frozenset[str]:
    return frozenset(plain_path(path) for path, m in model.named_modules() if isinstance(m, Neuron))


def _side_by_side(energy: EnergyTable) -> list[EnergyTable]:
    registered = [TABLES[name] for name in TABLES]
    return registered if energy.name in TABLES else [energy, *registered]


def _energy(operations: Sequence[_Operation], table: EnergyTable) -> TableEnergy:
    """The sum over all operations by one table."""
    ours = [moved for o in operations for moved in table.traffic(o.work)]
    dense = [moved for o in operations for moved in table.traffic(o.dense)]
    memories = tuple(
        MemoryUse(name, *_bytes(ours, name), *_bytes(dense, name))
        for name in dict.fromkeys(memory.name for memory in table.memories)
    )
    return TableEnergy(
        table=table.name, process=table.process, precision=table.precision, source=table.source, scope=table.scope,
        derived=table.derived, joules=math.fsum(table.joules(o.work) for o in operations),
        memory_joules=math.fsum(moved.joules for moved in ours),
        dense_joules=math.fsum(table.joules(o.dense) for o in operations),
        dense_memory_joules=math.fsum(moved.joules for moved in dense), memories=memories,
    )  # fmt: skip


def _bytes(moved: Sequence[Traffic], memory: str | None = None) -> tuple[float, float]:
    """Bytes read and written, of one memory or of all."""
    there = [m for m in moved if memory is None or m.memory == memory]
    return math.fsum(m.read for m in there), math.fsum(m.written for m in there)


def data_hash(data: tuple[Tensor, ...]) -> str:
    """The SHA-256 of shapes, types and elements; empty without data."""
    if not data:
        return ""
    sha = hashlib.sha256()
    for x in data:
        sha.update(f"{tuple(x.shape)}{x.dtype}".encode())
        if x.numel():
            sha.update(x.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def _verdict(tallies: list[Tally]) -> Verdict:
    left = [t for t in tallies if not t.analog and (t.multiplications or t.functions)]
    if not left:
        return "additive"
    return "gated-additive" if all(t.gated for t in left) else "hybrid"


def _row(operation: _Operation, energy: EnergyTable, rates: Rates) -> LayerRow:
    tally, work, dense = operation.tally, operation.work, operation.dense
    seen, batch = rates.seen(tally.observed), rates.batch
    moved, dense_moved = energy.traffic(work), energy.traffic(dense)
    read, written = _bytes(moved)
    dense_read, dense_written = _bytes(dense_moved)
    return LayerRow(
        module=tally.node.module, file=_short(tally.node.file), line=tally.node.line, op=tally.node.op,
        kind=tally.kind, domain=tally.domain, note=tally.note,
        density=None if seen is None else seen.density, firing_rate=None if seen is None else seen.firing_rate,
        dense_macs=tally.dense_macs / batch, additions=work.additions, multiplications=work.multiplications,
        functions=work.functions, shifts=work.shifts, compares=work.compares, ands=work.ands, sums=work.sums,
        lookups=work.lookups, membrane_updates=work.membrane_updates, joules=energy.joules(work),
        dense_joules=energy.joules(dense), low=_finite(tally.low), high=_finite(tally.high), bits=tally.bits,
        bytes_read=read, bytes_written=written, dense_bytes_read=dense_read, dense_bytes_written=dense_written,
        traffic=moved, dense_traffic=dense_moved, unit=_unit(tally.observed),
    )  # fmt: skip


def _unit(event: Event | None) -> float | None:
    """What one of an event's integers stands for, where that is one number and zero stands for zero."""
    if (
        event is None
        or not event.gain.numel()
        or not spread.is_uniform(event.gain)
        or bool(event.offset.any())
    ):
        return None
    return abs(float(event.gain.flatten()[0]))


def _finite(bound: float | None) -> float | None:
    return bound if bound is not None and math.isfinite(bound) else None


def _remaining(tally: Tally, batch: int) -> Remaining:
    node = tally.node
    return Remaining(
        module=node.module, file=_short(node.file), line=node.line, op=node.op, kind=tally.kind,
        count=tally.multiplications / batch, functions=tally.functions / batch, why=tally.why,
        replacement=tally.replacement,
    )  # fmt: skip


def _short(file: str) -> str:
    """A path below the package or the working folder without what stands above it."""
    for root in (Path(spikedrive.__file__).parent.parent, Path.cwd()):
        if file.startswith(str(root) + os.sep):
            return file[len(str(root)) + 1 :]
    return file
