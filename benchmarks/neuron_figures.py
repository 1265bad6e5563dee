"""docs/assets/neurons.svg: time and memory of one spiking layer against T, from results/neurons.csv.

Usage: python benchmarks/neuron_figures.py
"""

from __future__ import annotations

import sys

import matplotlib
import neuron_tables
import results

matplotlib.use("svg")
# the same rows give the same bytes
matplotlib.rcParams |= {"svg.hashsalt": "spikedrive", "svg.fonttype": "none", "font.family": "sans-serif"}

from matplotlib import pyplot  # noqa: E402

# Okabe and Ito's palette, as in every report; a library keeps its colour
COLOURS = {
    "spikedrive": "#0072B2", "spikingjelly": "#D55E00", "spikingjelly compiled": "#E69F00", "snntorch": "#009E73",
    "norse": "#CC79A7", "sinabs": "#56B4E9", "plain loop": "#808890",
}  # fmt: skip
STYLES = {"atan": "-", "rectangular": "--"}


def main() -> None:
    """Draw what was measured; say so where nothing was."""
    rows = neuron_tables.measured()
    if not any(row["ms"] for row in rows):
        sys.exit("error: results/neurons.csv has no times; run python benchmarks/neurons.py first.")
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 4), layout="constrained")
    _draw(left, rows, "lif", "ms", "ms, forward and backward, one thread")
    _draw(right, rows, "peak", "peak", "peak over the input, in sizes of the input")
    left.set_yscale("log")
    handles = [
        left.plot([], [], color=colour, label=neuron_tables.NAMES[name])[0]
        for name, colour in COLOURS.items()
    ]
    handles += [
        left.plot([], [], color="black", linestyle=style, label=neuron_tables.SURROGATES[name])[0]
        for name, style in STYLES.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    neuron_tables.PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(neuron_tables.PICTURE, metadata={"Date": None})
    print(neuron_tables.PICTURE.relative_to(results.ROOT))


def _draw(axes, rows: list[neuron_tables.Row], work: str, key: str, label: str) -> None:
    for contender, colour in COLOURS.items():
        for surrogate, style in STYLES.items():
            points = [
                (int(row["steps"]), float(row[key]))
                for row in rows
                if row["work"].startswith(f"{work}/") and row["contender"] == contender
                and row["surrogate"] == surrogate and row["threads"] == "1" and row[key] != ""
            ]  # fmt: skip
            if points:
                axes.plot(
                    *zip(*sorted(points), strict=True),
                    style,
                    color=colour,
                    marker="o",
                    markersize=3,
                    linewidth=1.2,
                )
    axes.set_xscale("log", base=2)
    axes.set_xticks([int(steps) for steps in neuron_tables.STEPS], neuron_tables.STEPS)
    axes.set_xlabel("T, steps")
    axes.set_ylabel(label)
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
