"""docs/assets/engine_roofline.svg: every layer against the machine's rates, from results/engine_layers.csv.

Usage: python benchmarks/engine_figures.py
"""

from __future__ import annotations

import sys

import engine_tables
import matplotlib
import results

matplotlib.use("svg")
# the same rows give the same bytes
matplotlib.rcParams |= {"svg.hashsalt": "spikedrive", "svg.fonttype": "none", "font.family": "sans-serif"}

from matplotlib import pyplot  # noqa: E402

TITLES = {
    "layers/binary": "binary, T = 4, density 0.15",
    "layers/integer": "integers 0..4, T = 1, density 0.15",
}
# Okabe and Ito's palette, as in every report
COLOURS = {
    "3 x 3 convolution": "#0072B2", "1 x 1 convolution": "#009E73", "depthwise convolution": "#E69F00",
    "first layer": "#808890", "product of spikes": "#CC79A7", "linear": "#D55E00",
}  # fmt: skip
Row = dict[str, str]


def main() -> None:
    """Draw what was measured; say so where nothing was."""
    rows = results.read("engine_layers")
    works = [work for work in TITLES if any(row["work"] == work for row in rows)]
    if not works:
        sys.exit(
            "error: results/engine_layers.csv has no layers; run python benchmarks/engine.py --works 'layers/*'."
        )
    figure, axes = pyplot.subplots(
        1, len(works), figsize=(4.6 * len(works), 4.2), layout="constrained", sharey=True, squeeze=False
    )
    for place, (axis, work) in enumerate(zip(axes[0], works, strict=True)):
        _draw(axis, [row for row in rows if row["work"] == work], TITLES[work])
        if place == 0:
            axis.set_ylabel("additions a nanosecond, one thread")
    handles = [
        axes[0][0].plot([], [], "o", color=colour, markersize=4, label=kind)[0]
        for kind, colour in COLOURS.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    engine_tables.PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(engine_tables.PICTURE, metadata={"Date": None})
    print(engine_tables.PICTURE.relative_to(results.ROOT))


def _draw(axis, rows: list[Row], title: str) -> None:
    rate, stream = float(rows[0]["add_rate"]), float(rows[0]["bandwidth"])
    points = [
        (float(row["additions"]) / float(row["bytes"]), float(row["additions"]) / float(row["seconds"]) / 1e9, row)
        for row in rows
        if float(row["seconds"]) > 0 and float(row["additions"]) > 0
    ]  # fmt: skip
    for kind, colour in COLOURS.items():
        own = [(x, y) for x, y, row in points if row["kind"] == kind]
        if own:
            axis.plot(*zip(*own, strict=True), "o", color=colour, markersize=4, alpha=0.75)
    left, right = min(x for x, _, _ in points) / 2, max(x for x, _, _ in points) * 2
    knee = rate / stream
    axis.plot([left, knee, right], [left * stream, rate, rate], color="black", linewidth=1)
    title = f"{title}\nat most {rate:.0f} additions and {stream:.1f} bytes a ns"
    axis.set(xscale="log", yscale="log", xlabel="additions a byte that must move", title=title)
    axis.title.set_fontsize(9)
    axis.grid(alpha=0.25, linewidth=0.5)
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
