"""The table of docs/how-to/pretrain.md, from results/masked_pretraining.csv."""

from __future__ import annotations

from statistics import mean, stdev

import results

WHAT = {
    "pretrained": "pretrained without labels, then fine-tuned",
    "scratch": "the same fine-tuning from random weights",
    "scratch, longer": "longer from random weights",
}


def page(rows: list[dict[str, str]]) -> str:
    """The lines between the marks: accuracy and processor time of each arm over its seeds."""
    if not rows:
        return "Not measured yet.\n"
    text = "| with 100 labels | epochs | test accuracy, % | seeds | CPU seconds |\n|---|---|---|---|---|\n"
    for arm, what in WHAT.items():
        own = [row for row in rows if row["arm"] == arm]
        if not own:
            text += f"| {what} | | not measured yet | | |\n"
            continue
        before = int(own[0]["pretraining_epochs"])
        epochs = f"{before} + {own[0]['epochs']}" if before else own[0]["epochs"]
        seeds = " ".join(row["seed"] for row in own)
        spent = _spread([float(row["cpu_seconds"]) for row in own if row["cpu_seconds"]], 0)
        accuracies = _spread([100 * float(row["accuracy"]) for row in own], 1)
        text += f"| {what} | {epochs} | {accuracies} | {seeds} | {spent} |\n"
    days = " and ".join(sorted({row["date"] for row in rows}))
    commits = " and ".join(sorted({row["commit"] for row in rows}))
    return (
        f"{text}\nMean ± standard deviation over the seeds, one thread of an {rows[0]['cpu']}, {days}, commit "
        f"{commits}.\n"
    )


def measured() -> list[dict[str, str]]:
    """The rows on disk."""
    return results.read("masked_pretraining")


def _spread(values: list[float], digits: int) -> str:
    if not values:
        return ""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"
