"""The demo over several seeds: accuracy, what integers cost, and whether any differs.

Usage: python benchmarks/demo_seeds.py [SEED ...]      (0 1 2 by default; about six minutes a seed on two cores)
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import results

KEYS = (
    "accuracy_fp32", "accuracy_program", "points_lost", "agreement", "images", "integers", "unequal", "verdict",
)  # fmt: skip


def main(seeds: list[int]) -> None:
    """Run what is missing, and write results/demo_seeds.csv."""
    results.refuse_while_red()
    rows = []
    for seed in seeds:
        out = results.ROOT / "runs" / "seeds" / str(seed)
        # a seed that was measured already is not measured again, so that the command can be interrupted
        words = ["demo", "--seed", str(seed), "--out", str(out), "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "spikedrive", *words], stdout=subprocess.PIPE, check=True
        )
        summary: dict[str, Any] = json.loads(done.stdout)
        where: dict[str, Any] = json.loads((out / "environment.json").read_text(encoding="utf-8"))
        row = {"seed": seed, **{key: summary[key] for key in KEYS}, "analog": " ".join(summary["analog"])}
        # an interrupted demo's time is not that of a whole one
        row["seconds"] = "" if summary["resumed"] else round(summary["seconds"]["all"])
        row |= {"commit": _short(where["commit"]), "date": where["started"][:10]}
        rows.append(row)
        print(rows[-1], flush=True)
    print(Path(results.write("demo_seeds", rows)).relative_to(results.ROOT))


def _short(commit: str | None) -> str:
    """Seven digits, and the + of a tree with changes."""
    return "" if commit is None else commit[:7] + ("+" if commit.endswith("+") else "")


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [0, 1, 2])
