"""The table of recordings, from what `benchmarks/recordings.py` measured."""

from __future__ import annotations

import csv
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "recordings.csv"


def table() -> str:
    """Markdown, one row a file."""
    with open(RESULTS, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = [
        "| recording | sensor | events | published | equal to | million events a second | peak, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        rate = float(row["events_per_s"]) / 1e6
        compared = row["compared_with"] if row["equal"] == "True" else f"not equal to {row['compared_with']}"
        lines.append(
            f"| {row['recording']} | {row['sensor']} | {row['events']} | {row['published']} | {compared} | {rate:.1f} "
            f"| {row['peak_mb'] or '-'} |"
        )
    return (
        "\n".join(lines)
        + f"\n\n{rows[0]['cpu']}, {rows[0]['date']}, commit {rows[0]['commit']}; one reading each."
    )
