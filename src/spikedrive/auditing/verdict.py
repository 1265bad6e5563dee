"""`audit`: from a model to its verdict."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from torch import Tensor, nn

import spikedrive
from spikedrive.auditing.adapters import adapted
from spikedrive.auditing.bounds import declared_domains, propagate
from spikedrive.auditing.energy import TABLES, EnergyTable
from spikedrive.auditing.ledger import Event, Tally
from spikedrive.auditing.measure import Activity, measure
from spikedrive.auditing.result import Audit, LayerRow, Remaining, Verdict, totals_of
from spikedrive.auditing.rules import RULES
from spikedrive.auditing.trace import trace
from spikedrive.ops.domain import Domain

RULES_VERSION = 2
"""Grows with every change of a rule that can change a verdict or a count."""


def audit(
    model: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    *,
    data: Tensor | tuple[Tensor, ...] | None = None,
    table: str = "45nm",
    inputs: Sequence[Domain | None] = (),
    batch_axis: int | None = None,
) -> Audit:
    """Which multiplications `model` is left with in eval mode, and what each layer costs.

    `example` is one input as the model takes it. Counts are measured on `data` (inputs like the example, in
    one pass), or stand for the worst case without it. `inputs` declares the domain of inputs that are spikes
    or integers already; others are real, and the first layer that meets them is the analog one.

    Raises: AuditError for a model that cannot be exported, an operation without a rule, or a neuron whose
    declared domain does not hold its output; UnknownNameError for an unknown energy table.
    """
    energy = TABLES[table]
    model = adapted(model)
    graph = trace(model, example, batch_axis=batch_axis, decompose=lambda op: op not in RULES)
    proof = propagate(graph, inputs, declared_domains(model))
    tallies = proof.ledger.tallies()
    activity: dict[int, Activity] | None = None
    samples = 0
    if data is not None:
        given = tuple(data) if isinstance(data, (tuple, list)) else (data,)
        watched = [
            e
            for t in tallies
            for e in (*(e for group in t.events for e in group), t.observed)
            if e is not None
        ]
        activity = measure(graph, watched, given)
        samples = int(given[0].shape[graph.batch_axis])
    layers = tuple(_row(tally, energy, graph.batch, activity, samples) for tally in tallies)
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
        table=asdict(energy),
        graph_hash=graph.digest(),
        rules_version=RULES_VERSION,
    )


def _verdict(tallies: list[Tally]) -> Verdict:
    left = [t for t in tallies if not t.analog and (t.multiplications or t.functions)]
    if not left:
        return "additive"
    return "gated-additive" if all(t.gated for t in left) else "hybrid"


def _row(
    tally: Tally, energy: EnergyTable, batch: int, activity: dict[int, Activity] | None, samples: int
) -> LayerRow:
    additions = tally.additions / batch + sum(
        min(_additions(e, batch, activity, samples) for e in group) for group in tally.events
    )
    seen = None if activity is None or tally.observed is None else activity[id(tally.observed)]
    multiplications, functions = tally.multiplications / batch, tally.functions / batch
    dense = tally.dense_macs / batch
    return LayerRow(
        module=tally.node.module, file=_short(tally.node.file), line=tally.node.line, op=tally.node.op,
        kind=tally.kind, domain=tally.domain, note=tally.note,
        density=None if seen is None else seen.density, firing_rate=None if seen is None else seen.firing_rate,
        dense_macs=dense, additions=additions, multiplications=multiplications, functions=functions,
        shifts=tally.shifts / batch, compares=tally.compares / batch, ands=tally.ands / batch,
        sums=tally.sums / batch, lookups=tally.lookups / batch, membrane_updates=tally.membrane_updates / batch,
        joules=energy.joules(multiplications=multiplications, additions=additions, functions=functions),
        dense_joules=energy.joules(multiplications=dense),
        low=_finite(tally.low), high=_finite(tally.high), bits=tally.bits,
    )  # fmt: skip


def _additions(event: Event, batch: int, activity: dict[int, Activity] | None, samples: int) -> float:
    return event.worst / batch if activity is None else activity[id(event)].additions / samples


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
