"""What the model costs beside its dense twin: figures of `audit.json`."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from spikedrive.reports.audits import Row, merge_rows, read_audit
from spikedrive.reports.style import DENSE, MULTIPLIED, NEUTRAL, SPIKING, Figure, by_layer, quantity


def operations_by_layer(audit: Path) -> Figure:
    """Additions of each layer beside the multiply-accumulates of its dense twin, for one sample.

    *Units*: operations per sample, on a logarithmic axis.
    *Raises*: DataError when the file is missing or damaged.
    """
    rows = merge_rows(read_audit(audit))
    series = (
        ("dense twin (MACs)", DENSE, "circle-open", lambda row: row.dense_macs),
        ("additions", SPIKING, "circle", lambda row: row.additions),
        ("multiplications", MULTIPLIED, "diamond", lambda row: row.multiplications),
    )
    dense, added = sum(row.dense_macs for row in rows), sum(row.additions for row in rows)
    multiplied = sum(row.multiplications for row in rows)
    says = (
        f"{quantity(added)} additions and {quantity(multiplied)} multiplications a sample, against {quantity(dense)} "
        "multiply-accumulates of the dense twin."
    )
    return _dumbbells(
        "operations", "Operations by layer", says, audit.name, rows, series, "operations per sample", ""
    )


def energy_by_layer(audit: Path) -> Figure:
    """Energy of each layer beside its dense twin's, for one sample.

    *Units*: joules per sample, on a logarithmic axis.
    *Raises*: DataError when the file is missing or damaged.
    """
    rows = merge_rows(read_audit(audit))
    series = (
        ("dense twin", DENSE, "circle-open", lambda row: row.dense_joules),
        ("spiking", SPIKING, "circle", lambda row: row.joules),
    )
    dense, spiking = sum(row.dense_joules for row in rows), sum(row.joules for row in rows)
    costly = max(rows, key=lambda row: row.joules)
    says = (
        f"{quantity(spiking, 'J')} a sample, against {quantity(dense, 'J')} of the dense twin. "
        f"The costliest layer is {costly.module} with {quantity(costly.joules, 'J')}."
    )
    return _dumbbells("energy", "Energy by layer", says, audit.name, rows, series, "joules per sample", "J")


Series = tuple[tuple[str, str, str, Callable[[Row], float]], ...]


def _dumbbells(
    id: str, title: str, says: str, source: str, rows: list[Row], series: Series, x: str, unit: str
) -> Figure:
    plot = by_layer([row.module for row in rows], x=x, legend=True)
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
    plot.update_xaxes(type="log", dtick=1, exponentformat="SI", ticksuffix=unit)
    return Figure(id, title, says, source, plot)
