"""docs/assets/conversion.svg: agreement with the artificial network against T, from results/conversion.csv.

Usage: python benchmarks/conversion_figure.py
"""

from __future__ import annotations

import matplotlib
import results

matplotlib.use("svg")
# the same rows give the same bytes
matplotlib.rcParams |= {"svg.hashsalt": "spikedrive", "svg.fonttype": "none", "font.family": "sans-serif"}

from matplotlib import pyplot  # noqa: E402

# Okabe and Ito's palette, as in every report; a network keeps its colour
COLOURS = {"efficientnet_lite0": "#0072B2", "mobilenet_v2": "#D55E00"}
NAMES = {"efficientnet_lite0": "EfficientNet-lite0", "mobilenet_v2": "MobileNetV2"}
FORMS = {"integer": ("o", "-"), "signed": ("s", "--"), "binary": ("^", ":")}


def draw() -> None:
    """Draw what was measured, with Wilson's 95 % intervals."""
    rows = results.read("conversion")
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for network, colour in COLOURS.items():
        own = [row for row in rows if row["network"] == network]
        for form, (marker, style) in FORMS.items():
            points = sorted(
                (int(r["T"]), *(100 * float(r[k]) for k in ("agreement", "low", "high")))
                for r in own
                if r["form"] == form
            )
            if points:
                t, share, low, high = zip(*points, strict=True)
                axes.plot(
                    t, share, color=colour, marker=marker, linestyle=style, label=f"{NAMES[network]}, {form}"
                )
                axes.fill_between(t, low, high, color=colour, alpha=0.12, linewidth=0)
        for row in own:
            if row["form"] == "quantised all":
                axes.axhline(100 * float(row["agreement"]), color=colour, linewidth=0.8)
                axes.annotate(f"{NAMES[network]} in 5 bits", (128, 100 * float(row["agreement"])),
                              ha="right", va="bottom", fontsize=8, color=colour)  # fmt: skip
    ticks = sorted({int(row["T"]) for row in rows if row["form"] in FORMS})
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.set_xlabel("steps T")
    axes.set_ylabel("same top-1 as the artificial network, % of crops")
    axes.legend(frameon=False, fontsize=8)
    path = results.ROOT / "docs" / "assets" / "conversion.svg"
    figure.savefig(path, metadata={"Date": None})
    print(path.relative_to(results.ROOT))


if __name__ == "__main__":
    draw()
