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
        command = [
            sys.executable,
            "-m",
            "spikedrive",
            "demo",
            "--seed",
            str(seed),
            "--out",
            str(out),
            "--json",
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        summary: dict[str, Any] = json.loads(done.stdout)
        picked = {key: summary[key] for key in KEYS}
        rows.append(
            {
                "seed": seed,
                **picked,
                "analog": " ".join(summary["analog"]),
                "seconds": round(summary["seconds"]["all"]),
            }
        )
        print(rows[-1], flush=True)
    print(Path(results.write("demo_seeds", rows)).relative_to(results.ROOT))


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [0, 1, 2])
