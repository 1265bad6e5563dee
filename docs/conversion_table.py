"""The table of converted networks, from what `benchmarks/conversion.py` measured."""

from __future__ import annotations

import csv
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "conversion.csv"


def table() -> str:
    """Markdown: agreement in per cent with its 95 % interval, and what was predicted."""
    with open(RESULTS, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = [
        "| network | form | T | crops (photographs) | agreement, % | predicted, % |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        share, low, high = (100 * float(row[key]) for key in ("agreement", "low", "high"))
        predicted = f"{100 * float(row['predicted']):.1f}" if row["predicted"] else ""
        lines.append(
            f"| {row['network']} | {row['form']} | {row['T']} | {row['crops']} ({row['photographs']}) "
            f"| {share:.1f} ({low:.1f} to {high:.1f}) | {predicted} |"
        )
    commits = ", ".join(sorted({row["commit"] for row in rows}))
    days = ", ".join(sorted({row["date"] for row in rows}))
    return "\n".join(lines) + f"\n\n{days}, commit {commits}; in brackets Wilson's 95 % interval."
