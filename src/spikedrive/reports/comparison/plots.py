"""Accuracy against what it costs, one small plot for each cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikedrive.files import atomic_write
from spikedrive.reports.style import DENSE, DENSITY, MULTIPLIED, NEUTRAL, SPIKING, TRAINING, VALIDATION

COSTS = {
    "additions": ("additions an image, millions", 1e6), "joules": ("energy an image, µJ", 1e-6),
    "parameters": ("parameters, thousands", 1e3), "density": ("density", 1.0),
    "latency_ms": ("latency in the engine, ms", 1.0),
}  # fmt: skip
COLOURS = (SPIKING, DENSE, DENSITY, VALIDATION, MULTIPLIED, TRAINING, NEUTRAL)
# text stays text, and the same rows give the same bytes
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "spikedrive", "font.family": "sans-serif", "font.size": 8,
    "axes.spines.top": False, "axes.spines.right": False,
}  # fmt: skip


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the figure as SVG; a model has the same colour and number in every plot.

    *Raises*: StorageError.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 5.6), layout="constrained")
        plots = figure.subplots(2, 3).ravel()
        for axes, (key, (label, unit)) in zip(plots, COSTS.items(), strict=False):
            _scatter(axes, rows, key, unit)
            axes.set_xlabel(label)
        for axes in plots[::3]:
            axes.set_ylabel("test accuracy, %")
        _names(plots[-1], rows)
        with atomic_write(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})


def _scatter(axes: Axes, rows: Sequence[dict[str, Any]], key: str, unit: float) -> None:
    for number, row in enumerate(rows):
        if row[key] is not None:
            x, y = row[key] / unit, 100 * row["accuracy"]
            axes.plot([x], [y], "o", color=_colour(number), markersize=6)
            axes.annotate(str(number + 1), (x, y), xytext=(5, 3), textcoords="offset points")
    axes.margins(0.15)
    axes.locator_params(nbins=5)
    axes.grid(alpha=0.25, linewidth=0.5)


def _names(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    axes.axis("off")
    for number, row in enumerate(rows):
        y = 0.95 - 0.11 * number
        axes.plot(
            [0.03], [y], "o", color=_colour(number), markersize=6, transform=axes.transAxes, clip_on=False
        )
        axes.text(0.09, y, f"{number + 1}  {row['name']}", va="center", transform=axes.transAxes)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
