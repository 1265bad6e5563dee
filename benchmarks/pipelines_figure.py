"""docs/assets/pipelines.svg: accuracy against training time of three ways to a spiking network.

Usage: python benchmarks/pipelines_figure.py     (from results/pipelines.csv)
"""

from __future__ import annotations

from statistics import mean

import matplotlib
import results

matplotlib.use("svg")
# the same rows give the same bytes
matplotlib.rcParams |= {"svg.hashsalt": "spikedrive", "svg.fonttype": "none", "font.family": "sans-serif"}

from matplotlib import pyplot  # noqa: E402

# Okabe and Ito's palette, as in every report
COLOURS = {"direct": "#0072B2", "ann": "#999999", "hybrid": "#009E73"}
NAMES = {"direct": "direct", "ann": "ANN with ReLU", "hybrid": "hybrid, behind the ANN's training"}


def draw() -> None:
    """The mean over seeds at every epoch, with all seeds' range."""
    rows = results.read("pipelines")
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for form, colour in COLOURS.items():
        own = [row for row in rows if row["form"] == form]
        epochs = sorted({int(row["epoch"]) for row in own})
        at = [[row for row in own if int(row["epoch"]) == epoch] for epoch in epochs]
        if not at:
            continue
        minutes = [mean(float(row["cpu_seconds"]) for row in part) / 60 for part in at]
        shares = [[100 * float(row["validation"]) for row in part] for part in at]
        axes.plot(minutes, [mean(part) for part in shares], color=colour, marker="o", label=NAMES[form])
        axes.fill_between(
            minutes, [min(p) for p in shares], [max(p) for p in shares], color=colour, alpha=0.15, linewidth=0
        )
    axes.set_xlabel("processor time, minutes")
    axes.set_ylabel("validation accuracy, %")
    axes.legend(frameon=False, fontsize=8)
    path = results.ROOT / "docs" / "assets" / "pipelines.svg"
    figure.savefig(path, metadata={"Date": None})
    print(path.relative_to(results.ROOT))


if __name__ == "__main__":
    draw()
