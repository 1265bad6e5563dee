"""The table of the three ways to a spiking network, from what `benchmarks/pipelines.py` measured."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import mean, stdev

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "pipelines.csv"
FORMS = {
    "direct": "direct: surrogate gradients from scratch",
    "ann": "the ANN, ReLU in place of the neurons",
    "converted, 4 levels": "the ANN converted, integers 0..4, no training",
    "converted, 16 levels": "the same, 0..16",
    "converted, 64 levels": "the same, 0..64",
    "hybrid": "hybrid (pipeS): the conversion to 0..4, then surrogate gradients",
}


def table() -> str:
    """Markdown: epochs of surrogate gradients, minutes of one core since the first weights, accuracy over the seeds."""
    with open(RESULTS, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = ["| form | epochs | minutes | test accuracy, % |", "|---|---|---|---|"]
    for form, words in FORMS.items():
        own = [row for row in rows if row["form"] == form]
        # a run ends with its last epoch; what is judged on the test images is its best epoch on others
        ends = [max((row for row in own if row["seed"] == seed), key=_epoch) for seed in _seeds(own)]
        accuracies = [100 * float(row["test"]) for row in own if row["test"]]
        if len(accuracies) != len(ends):
            raise ValueError(
                f"{RESULTS} has {len(accuracies)} test accuracies of {form} for {len(ends)} seeds."
            )
        minutes = mean(float(row["cpu_seconds"]) for row in ends) / 60
        lines.append(
            f"| {words} | {ends[0]['epoch']} | {minutes:.1f} | {mean(accuracies):.2f} ± {stdev(accuracies):.2f} |"
        )
    where = f"{rows[0]['cpu']}, one thread, {rows[0]['date']}, commit {rows[0]['commit']}"
    return "\n".join(lines) + f"\n\n{where}; seeds {', '.join(_seeds(rows))}, mean and standard deviation."


def _epoch(row: dict[str, str]) -> int:
    return int(row["epoch"])


def _seeds(rows: list[dict[str, str]]) -> list[str]:
    return sorted({row["seed"] for row in rows})
