"""Measured figures on disk: one CSV a benchmark, each row with its machine, date and commit."""

from __future__ import annotations

import csv
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def refuse_while_red() -> None:
    """Exit where the last tests failed, or none were run: a speed of wrong code is no speed."""
    cache = ROOT / ".pytest_cache" / "v" / "cache"
    if not (cache / "nodeids").is_file():
        sys.exit("error: no test has run in this clone; a figure is printed when they pass. Run make test.")
    failed = cache / "lastfailed"
    names = list(json.loads(failed.read_text())) if failed.is_file() else []
    if names:
        sys.exit(
            f"error: {len(names)} tests failed last, {names[0]} first; figures are printed when all pass."
        )


def write(name: str, rows: Iterable[Mapping[str, object]]) -> Path:
    """Write `results/NAME.csv`, with where and when in every row."""
    here = provenance()
    # what a row says of itself holds: it may come from an earlier run
    full = [{**here, **row} for row in rows]
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(full[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(full)
    return path


def read(name: str) -> list[dict[str, str]]:
    """The rows of `results/NAME.csv`; none where it was not measured."""
    path = RESULTS / f"{name}.csv"
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def provenance() -> dict[str, object]:
    """Processor, cores, date and commit; `+` marks a tree with changes other than figures."""
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run(
        [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    status = [*git, "status", "--porcelain", "-uno", "--", ":/", ":!/benchmarks/results"]
    changed = subprocess.run(status, capture_output=True, text=True).stdout
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit + ("+" if changed else ""),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
