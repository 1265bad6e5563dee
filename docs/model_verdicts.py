"""The table of every registered model's verdict, from what `benchmarks/audit_models.py` measured."""

from __future__ import annotations

import csv
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "audit_models.csv"
HEAD = ("model", "as released", "multiplications a sample", "why", "after `make_additive`", "analog")


def table() -> str:
    """Markdown, with the rules' version and commit below."""
    with open(RESULTS, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = [HEAD, ["---"] * len(HEAD), *map(_cells, rows)]
    versions, commits = (", ".join(sorted({row[key] for row in rows})) for key in ("rules_version", "commit"))
    drawn = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{drawn}\n\nRules' version {versions}, commit {commits}."


def _cells(row: dict[str, str]) -> list[str]:
    after = row["repaired"] + (f": {_thousands(row['left'])}, {row['why_left']}" if row["why_left"] else "")
    return [
        f"`{row['model']}`", row["released"], _thousands(row["multiplications"]), row["why"] or "none left", after,
        f"`{row['analog']}`" if row["analog"] else "none",
    ]  # fmt: skip


def _thousands(number: str) -> str:
    return f"{int(number):,}"
