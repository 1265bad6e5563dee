"""What the model costs beside its dense twin: figures of `audit.json`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from spikedrive.auditing.result import Audit
from spikedrive.reports.artifacts import read_audit
from spikedrive.reports.style import DENSE, MULTIPLIED, NEUTRAL, SPIKING, Figure, by_layer, quantity


def operations_by_layer(audit: Path) -> Figure:
    """Additions and multiplications of each layer beside the multiply-accumulates of its dense twin.

    *Units*: operations per sample, on a logarithmic axis.
    *Raises*: DataError when the file is missing or damaged.
    """
    found = read_audit(audit)
    series = (
        ("dense MACs", DENSE, "circle-open", lambda row: row.dense_macs),
        ("additions", SPIKING, "circle", lambda row: row.additions),
        ("multiplications", MULTIPLIED, "diamond", lambda row: row.multiplications),
    )
    total = found.totals
    says = (
        f"{quantity(total['additions'])} additions and {quantity(total['multiplications'] + total['functions'])} "
        f"multiplications a sample, against {quantity(total['dense_macs'])} multiply-accumulates of the dense twin."
    )
    return _dumbbells(
        "operations", "Operations by layer", says, audit.name, found, series, "operations per sample", ""
    )


def energy_by_layer(audit: Path) -> Figure:
    """Energy of each layer beside its dense twin's.

    *Units*: joules per sample, on a logarithmic axis.
    *Raises*: DataError when the file is missing or damaged.
    """
    found = read_audit(audit)
    costly = max(merge_rows(found), key=lambda row: row.joules, default=None)
    says = (
        f"{quantity(found.totals['joules'], 'J')} a sample, against {quantity(found.totals['dense_joules'], 'J')} of "
        f"the dense twin, by the {found.table['name']} table."
    )
    if costly is not None:
        says += f" The costliest layer is {costly.module} with {quantity(costly.joules, 'J')}."
    return _dumbbells(
        "energy", "Energy by layer", says, audit.name, found, _ENERGIES, "joules per sample", "J"
    )


def energy_by_table(audit: Path) -> Figure:
    """Energy of the model beside its dense twin's, by every table.

    *Units*: joules per sample, on a logarithmic axis.
    *Raises*: DataError when the file is missing or damaged.
    """
    found = read_audit(audit)
    rows = [Row(e.table, joules=e.joules, dense_joules=e.dense_joules) for e in found.energies]
    less = [row.module for row in rows if row.joules < row.dense_joules]
    more = [row.module for row in rows if row.joules >= row.dense_joules]
    says = f"Less than the dense twin by {', '.join(less) or 'no table'}"
    says += f"; no less by {', '.join(more)}." if more else "."
    return _dumbbells(
        "tables", "Energy by table", says, audit.name, found, _ENERGIES, "joules per sample", "J", rows
    )


@dataclass(frozen=True)
class Row:
    """What one module costs for one sample, or all of them by one table; energy in joules."""

    module: str
    dense_macs: float = 0
    additions: float = 0
    multiplications: float = 0
    joules: float = 0
    dense_joules: float = 0

    def plus(self, other: Any) -> Row:
        """The sum with an audit's row; functions count as multiplications, as they are charged."""
        return Row(
            self.module, self.dense_macs + other.dense_macs, self.additions + other.additions,
            self.multiplications + other.multiplications + other.functions, self.joules + other.joules,
            self.dense_joules + other.dense_joules,
        )  # fmt: skip


def merge_rows(audit: Audit) -> list[Row]:
    """One row for each module that costs energy, here or in the dense twin, in order."""
    rows: dict[str, Row] = {}
    for layer in audit.layers:
        name = layer.module or "(model)"
        rows[name] = rows.get(name, Row(name)).plus(layer)
    return [row for row in rows.values() if row.joules or row.dense_joules]


Series = tuple[tuple[str, str, str, Callable[[Row], float]], ...]

_ENERGIES: Series = (
    ("dense twin", DENSE, "circle-open", lambda row: row.dense_joules),
    ("spiking", SPIKING, "circle", lambda row: row.joules),
)


def _dumbbells(
    id: str, title: str, says: str, source: str, audit: Audit, series: Series, x: str, unit: str,
    rows: list[Row] | None = None,
) -> Figure:  # fmt: skip
    rows = merge_rows(audit) if rows is None else rows
    plot = by_layer([escape(row.module) for row in rows], x=x, legend=True)
    bars: dict[str, list[Any]] = {"x": [], "y": []}
    for place, row in enumerate(rows):
        values = [value for *_, of in series if (value := of(row)) > 0]
        if len(values) > 1:
            bars["x"] += [min(values), max(values), None]
            bars["y"] += [place, place, None]
    plot.add_scatter(
        **bars, mode="lines", line={"color": NEUTRAL, "width": 1}, hoverinfo="skip", showlegend=False
    )
    for name, colour, symbol, of in series:
        # zero has no place on a logarithmic axis
        shown = [(place, row, of(row)) for place, row in enumerate(rows) if of(row) > 0]
        if shown:
            plot.add_scatter(
                x=[value for *_, value in shown], y=[place for place, *_ in shown], mode="markers", name=name,
                marker={"color": colour, "symbol": symbol, "size": 9, "line": {"width": 2 if "open" in symbol else 0}},
                customdata=[(escape(row.module), quantity(value, unit)) for _, row, value in shown],
                hovertemplate="%{customdata[0]}: %{customdata[1]}<extra>" + name + "</extra>",
            )  # fmt: skip
    # by default 1e-3 and 1e3 have no prefix
    plot.update_xaxes(type="log", dtick=1, exponentformat="SI", minexponent=1, ticksuffix=unit)
    notes = (f"At the density measured on {audit.samples} samples.",)
    if audit.basis != "measured":
        notes = ("Worst case: every neuron fires its most at every step.",)
    return Figure(id, title, says, source, plot, notes=notes)
