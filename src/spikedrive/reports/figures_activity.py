"""What the neurons do: figures of `activity.npz`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from spikedrive.reports.artifacts import need, read_arrays
from spikedrive.reports.pictures import heat, photograph
from spikedrive.reports.style import (
    DENSITY,
    NEUTRAL,
    SPIKING,
    VALIDATION,
    Choice,
    Figure,
    by_layer,
    fade,
    percent,
    quantity,
    short,
    steps_scale,
)  # fmt: skip

ACTIVITY = "activity.npz"


def firing_by_layer(activity: Path) -> Figure:
    """Firing rate and density of each neuron layer.

    *Units*: rate in spikes per neuron per step, density as a share.
    *Raises*: DataError when the file is missing or damaged.
    """
    arrays = _read(activity)
    layers, rates, density = _layers(arrays), arrays["firing_rate"], arrays["density"]
    plot = by_layer(layers, x="spikes per step; share", legend=True)
    rows = np.arange(len(layers))
    stems = _Lines()
    for row, end in enumerate(np.maximum(rates, density)):
        stems.add([0, end], [row, row])
    plot.add_scatter(
        x=stems.x,
        y=stems.y,
        mode="lines",
        line={"color": NEUTRAL, "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
    for values, name, colour, symbol in (
        (density, "density (share of non-zeros)", DENSITY, "diamond-open"),
        (rates, "firing rate (spikes per neuron per step)", SPIKING, "circle"),
    ):
        plot.add_scatter(
            x=values, y=rows, mode="markers", name=name, customdata=layers,
            marker={"color": colour, "symbol": symbol, "size": 8, "line": {"width": 2 if "open" in symbol else 0}},
            hovertemplate="%{customdata}: %{x:.4f}<extra>" + name + "</extra>",
        )  # fmt: skip
    plot.update_xaxes(rangemode="tozero")
    weights = arrays["units"] * arrays["steps"]
    silent = [layers[i] for i in np.nonzero(density == 0)[0]]
    overall = float((density * weights).sum() / weights.sum())
    says = (
        f"Over {int(arrays['images_seen']):,} images, {percent(overall, 1)} of all neuron outputs are non-zero. "
        f"The densest layer is {layers[int(density.argmax())]} "
        f"({percent(float(density.max()), 1)}), the sparsest {layers[int(density.argmin())]} "
        f"({percent(float(density.min()), 1)})."
    )
    notes = ("An integer s counts as s spikes, so a rate may pass the density, and 1.",)
    if silent:
        notes += (f"Silent on every image: {', '.join(silent)}.",)
    return Figure("firing", "Firing rate and density by layer", says, ACTIVITY, plot, wide=True, notes=notes)


def spike_raster(activity: Path) -> Figure:
    """The integers of up to 256 units of every layer, for one chosen image at a time.

    *Raises*: DataError when the file is missing or damaged.
    """
    arrays = _read(activity)
    layers, levels = _layers(arrays), int(arrays["levels"].max())
    need(activity, arrays, *(f"raster_{layer}" for layer in layers))
    rasters = [arrays[f"raster_{layer}"] for layer in layers]
    rows = [
        escape(layer) + (f", step {step + 1}" if len(raster) > 1 else "")
        for layer, raster in zip(layers, rasters, strict=True)
        for step in range(len(raster))
    ]
    first_rows = np.cumsum([0] + [len(raster) for raster in rasters[:-1]])
    middles = first_rows + np.array([(len(raster) - 1) // 2 for raster in rasters])
    plot = by_layer(layers, x="unit")
    plot.update_layout(height=max(18 * len(layers), 7 * len(rows)) + 76)
    plot.update_yaxes(type="category", range=[len(rows) - 0.5, -0.5], tickvals=middles.tolist())
    width = max(raster.shape[-1] for raster in rasters)
    choices = []
    for index, photo in enumerate(arrays["images"]):
        # -1 stands where a layer has fewer units than the widest
        cells = np.full((len(rows), width), -1, dtype=np.int8 if levels < 128 else np.int16)
        for start, raster in zip(first_rows, rasters, strict=True):
            cells[start : start + len(raster), : raster.shape[-1]] = raster[:, index]
        plot.add_heatmap(
            z=cells, y=rows, zmin=-1.5, zmax=levels + 0.5, colorscale=steps_scale(SPIKING, levels), showscale=False,
            visible=index == 0, ygap=1, hovertemplate="%{y}, unit %{x}: %{z}<extra></extra>",
        )  # fmt: skip
        choices.append(Choice(_caption(arrays, index), photograph(photo), (index,)))
    plot.update_xaxes(range=[-0.5, width - 0.5], showgrid=False)
    says = (
        f"Each row is a layer, each column a unit; the stronger the blue, the more spikes (0 to {levels}). "
        "Choose an image:"
    )
    return Figure(
        "raster", "Spike raster", says, ACTIVITY, plot, wide=True, choices=tuple(choices),
        notes=(f"The units are a fixed random sample of up to {width} of each layer.",),
    )  # fmt: skip


def membrane_histograms(activity: Path) -> Figure:
    """What each neuron layer receives, one ridge a layer, with the inputs at which it starts to fire.

    *Units*: membrane potential, in those of each neuron's input.
    *Raises*: DataError when the file is missing or damaged.
    """
    arrays = _read(activity)
    layers = _layers(arrays)
    parts = ("hist", "edges", "tails", "firing")
    need(activity, arrays, *(f"membrane_{part}_{layer}" for layer in layers for part in parts))
    plot = by_layer(layers, x="input of the neuron", row=30, legend=True)
    silent, firing, marks = _Lines(), _Lines(), _Lines()
    clipped = total = 0
    for row, layer in enumerate(layers):
        counts, edges, tails, inputs = (arrays[f"membrane_{part}_{layer}"] for part in parts)
        inputs = inputs[np.isfinite(inputs)]
        clipped, total = clipped + int(tails.sum()), total + int(tails.sum() + counts.sum())
        # the square root, or the peak at zero would flatten everything else
        heights = 0.9 * np.sqrt(counts / max(counts.max(), 1))
        fires = (edges[:-1] + edges[1:]) / 2 >= (inputs.min() if len(inputs) else np.inf)
        for polygons, bins in ((silent, ~fires), (firing, fires)):
            polygons.add_steps(edges, heights, bins, base=row + 0.45)
        for value in inputs:
            marks.add([value, value], [row + 0.45, row - 0.45])
    for polygons, name, colour in ((silent, "silent at rest", NEUTRAL), (firing, "fires at rest", SPIKING)):
        plot.add_scatter(
            x=polygons.x, y=polygons.y, mode="lines", fill="toself", fillcolor=fade(colour, 0.55), name=name,
            line={"color": colour, "width": 1}, hoverinfo="skip",
        )  # fmt: skip
    plot.add_scatter(
        x=marks.x, y=marks.y, mode="lines", name="starts to emit 1, 2, …",
        line={"color": VALIDATION, "width": 1.5}, hovertemplate="emits one more from %{x:.3g} up<extra></extra>",
    )  # fmt: skip
    _limit(plot, [arrays[f"membrane_edges_{layer}"] for layer in layers], marks.x)
    says = (
        "How often each input came; where nothing is carried from step to step, the input is the membrane. The "
        "vertical marks are the inputs at which a neuron at rest starts to emit 1, 2, …, found on the neuron itself."
    )
    notes = (
        "Heights are square roots of the counts, each layer scaled to its own peak.",
        f"{percent(clipped / max(total, 1), 3)} of {quantity(total)} values lie beyond the drawn ranges.",
    )
    return Figure(
        "membranes", "Membrane potentials and thresholds", says, ACTIVITY, plot, wide=True, notes=notes
    )


@dataclass(frozen=True)
class AttentionRow:
    """One chosen image and its map in every attention layer, as data URIs; each map with its largest count."""

    caption: str
    photo: str
    maps: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class AttentionGrid:
    """Chosen images beside what each attention layer reads of them."""

    title: str
    says: str
    layers: tuple[str, ...]
    rows: tuple[AttentionRow, ...]
    source: str = ACTIVITY


def attention_maps(activity: Path) -> AttentionGrid:
    """How strongly each token of each chosen image is read by each attention layer.

    *Units*: integer additions that the token brings to the sum over queries and channels.
    *Raises*: DataError when the file is missing or damaged.
    """
    arrays = _read(activity)
    need(activity, arrays, "attention_layers")
    layers = [str(layer) for layer in arrays["attention_layers"]]
    need(activity, arrays, *(f"attention_{layer}" for layer in layers))
    rows = []
    for index, photo in enumerate(arrays["images"]):
        maps = [arrays[f"attention_{layer}"][index] for layer in layers]
        drawn = tuple((heat(values), float(values.max())) for values in maps)
        rows.append(AttentionRow(_caption(arrays, index), photograph(photo), drawn))
    says = (
        "How strongly each place is read: the integer additions that its key and value bring to the sum over all "
        "queries and channels, before the scale and the last neuron."
    )
    return AttentionGrid("Attention maps", says, tuple(short(layer) for layer in layers), tuple(rows))


def _limit(plot: go.Figure, edges: list[np.ndarray], marks: list[float | None]) -> None:
    """Keep one layer with a long tail from squeezing all others; an arrow says how far it reaches."""
    lows, highs = np.array([e[0] for e in edges]), np.array([e[-1] for e in edges])
    known = [value for value in marks if value is not None]
    low = min([float(np.quantile(lows, 0.1)) * 1.25, *known])
    high = max([float(np.quantile(highs, 0.9)) * 1.25, *known])
    low, high = max(low, float(lows.min())), min(high, float(highs.max()))
    plot.update_xaxes(range=[low, high])
    for row in np.nonzero(highs > high * 1.02)[0]:
        plot.add_annotation(
            x=high, y=row, text=f"to {highs[row]:.3g} →", showarrow=False, xanchor="right", yshift=6
        )
    for row in np.nonzero(lows < low * 1.02)[0]:
        plot.add_annotation(
            x=low, y=row, text=f"← to {lows[row]:.3g}", showarrow=False, xanchor="left", yshift=6
        )


class _Lines:
    """Many lines or outlines in one trace; None parts them."""

    def __init__(self) -> None:
        self.x: list[float | None] = []
        self.y: list[float | None] = []

    def add(self, x: Sequence[float], y: Sequence[float]) -> None:
        # four digits are finer than a pixel, and keep the page small
        self.x += [float(f"{value:.4g}") for value in x] + [None]
        self.y += [float(f"{value:.4g}") for value in y] + [None]

    def add_steps(self, edges: np.ndarray, heights: np.ndarray, bins: np.ndarray, *, base: float) -> None:
        """The outline of some neighbouring bins of a histogram that stands on `base`; y grows downwards."""
        chosen = np.nonzero(bins)[0]
        if len(chosen):
            x = np.repeat(edges[chosen[0] : chosen[-1] + 2], 2)
            y = np.concatenate([[base], np.repeat(base - heights[chosen], 2), [base]])
            self.add(x.tolist(), y.tolist())


def _read(activity: Path) -> dict[str, np.ndarray]:
    arrays = read_arrays(activity)
    need(
        activity, arrays, "layers", "firing_rate", "density", "levels", "steps", "units", "images", "image_labels",
        "image_predictions", "images_seen", "class_names",
    )  # fmt: skip
    return arrays


def _layers(arrays: dict[str, np.ndarray]) -> list[str]:
    return [str(layer) for layer in arrays["layers"]]


def _caption(arrays: dict[str, np.ndarray], index: int) -> str:
    names = arrays["class_names"]

    def name(number: int) -> str:
        return str(names[number]) if number < len(names) else f"class {number}"

    label, answer = int(arrays["image_labels"][index]), int(arrays["image_predictions"][index])
    return name(label) if label == answer else f"{name(label)}, taken for {name(answer)}"
