"""How early a network of event frames can answer: accuracy against elapsed steps and events.

Usage: python benchmarks/early_answers.py [--seeds 0 1 2] [--out runs/early] [--draw]

Two trainings of one network on simulated saccades, cut into 16 slices: as it is, and with the regulariser of AOI-SNN.
Each is then answered after a fixed number of slices, by a threshold of confidence (Dynamic Confidence), by the cutoff
of AOI-SNN, and by somebody who knows the labels. Thresholds are chosen on clips that neither taught the network nor
judge it. The same command goes on where it was stopped, and leaves finished runs alone. Writes
results/early_answers.csv (one row a way to answer), results/early_curves.csv (every point) and
docs/assets/early_answers.svg; --draw does the last alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib
import results
import torch

from spikedrive.data.events import FrameReader, load_events
from spikedrive.recipes import event_clips
from spikedrive.tasks.anytime import Rule
from spikedrive.training import Recipe, evaluate_anytime_clips, train
from spikedrive.training.prepare.clips import prepare_clips

matplotlib.use("svg")
# the same rows give the same bytes
matplotlib.rcParams |= {"svg.hashsalt": "spikedrive", "svg.fonttype": "none", "font.family": "sans-serif"}

from matplotlib import pyplot  # noqa: E402

MODEL, DATA = "csnn_nano", "saccades_fashion_mini"
TRAININGS = {"plain": 0.0, "AOI": 0.002}
"""The weight of the regulariser; the second is that of its source."""
RULES: tuple[Rule, ...] = ("confidence", "gap")
STEPS, CLIPS, EPOCHS, VALIDATION = 16, 6000, 8, 0.2
WAYS = {
    ("plain", "fixed"): ("a fixed number of slices", "#999999", "-"),
    ("plain", "confidence"): ("Dynamic Confidence", "#0072B2", "-"),
    ("AOI", "gap"): ("AOI-SNN: regulariser and cutoff", "#009E73", "-"),
    ("plain", "oracle"): ("who knows the labels", "#000000", ":"),
}
"""What is drawn, in Okabe and Ito's palette."""


def recipe_of(training: str, seed: int) -> Recipe:
    """The settings of one run."""
    task: dict[str, Any] = {"name": "events", "steps": STEPS, "clips": CLIPS}
    if TRAININGS[training]:
        task["anytime"] = TRAININGS[training]
    return event_clips(MODEL, DATA).replace(
        seed=seed, epochs=EPOCHS, task=task, val_fraction=VALIDATION, threads=1, save_minutes=2.0
    )


def judge(training: str, seed: int, out: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of one run, and the points of its curves."""
    recipe = recipe_of(training, seed)
    run = train(recipe, out / f"{training.lower()}_{seed}", progress=False)
    clips, model = prepare_clips(recipe), run.load()
    assert isinstance(clips.reader, FrameReader)
    rows, points, key = [], [], {"training": training, "seed": seed}
    for rule in RULES:
        found = evaluate_anytime_clips(
            model, clips.validation, load_events(DATA, "test"), clips.reader, rule=rule
        )
        fixed, all_steps = found["smallest_fixed"], found["fixed"][-1]
        rows.append({
            **key, "rule": rule, "accuracy": round(found["accuracy"], 4), "steps": round(found["steps"], 3),
            "events": round(found["events"], 1), "saved": round(found["saved"], 4), "fixed_steps": fixed["steps"],
            "fixed_accuracy": round(fixed["accuracy"], 4), "fixed_events": round(fixed["events"], 1),
            "best_accuracy": round(max(point["accuracy"] for point in found["fixed"]), 4),
            "all_steps": STEPS, "all_events": round(all_steps["events"], 1),
            "val_accuracy": round(run.metrics["val_accuracy"], 4), "minutes": round(run.metrics["seconds"] / 60, 1),
        })  # fmt: skip
        curves = {rule: found["curve"]}
        if rule == RULES[0]:
            curves |= {"fixed": found["fixed"], "oracle": found["oracle"]}
        points += [
            {**key, "rule": name, **{k: round(v, 4) for k, v in point.items()}}
            for name, curve in curves.items()
            for point in curve
        ]
        print(rows[-1], flush=True)
    return rows, points


def draw() -> None:
    """The first seed's curves against slices and against events."""
    points = results.read("early_curves")
    seed = min(int(row["seed"]) for row in points)
    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
    for axes, key in zip(panels, ("steps", "events"), strict=True):
        for (training, rule), (label, colour, line) in WAYS.items():
            own = [p for p in points if (p["training"], p["rule"], int(p["seed"])) == (training, rule, seed)]
            own.sort(key=lambda p: float(p[key]))
            axes.plot(
                [float(p[key]) for p in own], [100 * float(p["accuracy"]) for p in own], line, color=colour,
                label=label, marker="." if rule == "fixed" else None,
            )  # fmt: skip
        axes.set_xlabel(
            {"steps": "slices, mean over the clips", "events": "events, mean over the clips"}[key]
        )
    panels[0].set_ylabel("test accuracy, %")
    panels[1].legend(frameon=False, fontsize=8)
    path = results.ROOT / "docs" / "assets" / "early_answers.svg"
    figure.savefig(path, metadata={"Date": None})
    print(path.relative_to(results.ROOT))


def main() -> None:
    """Train what is missing, judge what is there, write the tables and the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/early"))
    parser.add_argument("--draw", action="store_true")
    options = parser.parse_args()
    if options.draw:
        draw()
        return
    results.refuse_while_red()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    for seed in options.seeds:
        for training in TRAININGS:
            more = judge(training, seed, options.out)
            rows, points = rows + more[0], points + more[1]
            # each finished run counts, whatever becomes of the next
            results.write("early_answers", rows)
            results.write("early_curves", points)
    draw()


if __name__ == "__main__":
    main()
