"""One look for every figure: colours that colour-blind readers tell apart, and one meaning each."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

# Okabe and Ito's palette; a model keeps its colour in every figure
SPIKING = "#0072B2"
DENSE = "#E69F00"
TRAINING = "#56B4E9"
VALIDATION = "#D55E00"
DENSITY = "#009E73"
MULTIPLIED = "#CC79A7"
# readable on white and on near-black
NEUTRAL = "#808890"


@dataclass(frozen=True)
class Choice:
    """A button above a figure: its label, a small picture, and the traces that it shows."""

    label: str
    picture: str
    traces: tuple[int, ...]


@dataclass(frozen=True)
class Figure:
    """One plot with what a reader needs beside it.

    `says` is the finding in words: it stands under the title and is what a screen reader hears. `source` is
    the artifact file, relative to the run's folder, that the plot is a function of.
    """

    id: str
    title: str
    says: str
    source: str
    plot: go.Figure
    wide: bool = False
    choices: tuple[Choice, ...] = ()
    notes: tuple[str, ...] = field(default=())


def canvas(*, height: int, x: str = "", y: str = "", legend: bool = False) -> go.Figure:
    """An empty plot in the house style, its background left to the page.

    *Units*: height in pixels; the width is the page's.
    """
    axis = {"automargin": True, "zeroline": False, "ticks": "outside", "ticklen": 4, "title": {"standoff": 8}}
    return go.Figure(
        layout={
            "template": go.layout.Template(),
            "height": height,
            "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 12},
            "margin": {"l": 8, "r": 12, "t": 28 if legend else 12, "b": 8},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "showlegend": legend,
            "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
            "hovermode": "closest",
            "dragmode": False,
            "xaxis": axis | {"title": {"text": x, "standoff": 8}},
            "yaxis": axis | {"title": {"text": y, "standoff": 8}},
        }
    )


def by_layer(paths: Sequence[str], *, x: str, row: int = 22, legend: bool = False) -> go.Figure:
    """An empty plot with one row for each layer, the first on top; y counts rows from 0."""
    plot = canvas(height=row * len(paths) + (96 if legend else 76), x=x, legend=legend)
    plot.update_yaxes(
        range=[len(paths) - 0.4, -0.6], tickvals=list(range(len(paths))), ticktext=[short(p) for p in paths],
        ticks="", tickfont={"size": 11}, showgrid=False,
    )  # fmt: skip
    return plot


def short(path: str) -> str:
    """A module path for an axis: numbered parts by their initial, and without the word neuron.

    >>> short("stages.2.blocks.0.attention.q_neuron"), short("head.neuron"), short("stem.conv")
    ('s2.b0.attention.q', 'head', 'stem.conv')
    """
    path = path.removesuffix("_neuron").removesuffix(".neuron") or path
    return re.sub(r"([A-Za-z])[A-Za-z_]*\.(?=\d)", r"\1", path)


def fade(colour: str, alpha: float) -> str:
    """A hex colour as rgba, so that the page shows through.

    >>> fade("#0072B2", 0.5)
    'rgba(0,114,178,0.5)'
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def steps_scale(colour: str, levels: int) -> list[list[object]]:
    """A colour scale of plain steps for integers -1..levels: nothing, nothing, then ever stronger."""
    shades = [fade(colour, 0), fade(colour, 0.06)]
    shades += [fade(colour, 0.3 + 0.7 * level / levels) for level in range(1, levels + 1)]
    ends = [i / len(shades) for i in range(len(shades) + 1)]
    return [[end, shade] for i, shade in enumerate(shades) for end in ends[i : i + 2]]


def quantity(value: float, unit: str = "") -> str:
    """A number with three significant figures and an SI prefix.

    >>> quantity(3.214e-7, "J"), quantity(12_345_678), quantity(0, "J"), quantity(812)
    ('321 nJ', '12.3 M', '0 J', '812')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}".strip()
    power = max(-5, min(4, math.floor(math.log10(abs(value)) / 3)))
    scaled = value / 1000.0**power
    if abs(scaled) >= 999.5 and power < 4:
        power, scaled = power + 1, scaled / 1000
    prefix = {-5: "f", -4: "p", -3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T"}[power]
    digits = f"{scaled:.3g}" if abs(scaled) < 999.5 else f"{scaled:.0f}"
    return f"{digits} {prefix}{unit}".strip()


def percent(share: float, digits: int = 2) -> str:
    """A share as per cent.

    >>> percent(0.8765)
    '87.65 %'
    """
    return f"{100 * share:.{digits}f} %"


def seconds(duration: float) -> str:
    """A duration for people.

    >>> seconds(0.0123), seconds(9.41), seconds(312), seconds(7322)
    ('12.3 ms', '9.4 s', '5 min 12 s', '2 h 2 min')
    """
    if duration < 1:
        return f"{1000 * duration:.3g} ms"
    if duration < 60:
        return f"{duration:.1f} s"
    whole = round(duration)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
