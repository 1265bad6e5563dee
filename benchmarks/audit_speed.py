"""Time and memory of an audit against one forward pass of the same model.

Usage: python benchmarks/audit_speed.py [--model NAME] [--rounds N] [--threads N] [--samples N]

Every figure comes from a process of its own, in turns: seconds from the call to the answer, the libraries that an
export loads included, the most memory of the process, and by how much that exceeds what model and example hold.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import results

WORKS = ("forward", "audit", "forward over the data", "audit on the data")


def main() -> None:
    """Measure, print, and write results/audit_speed.csv."""
    options = _options()
    if options.worker:
        print(json.dumps(_measure(options)))
        return
    results.refuse_while_red()
    seen: dict[str, list[dict[str, Any]]] = {work: [] for work in WORKS}
    for _ in range(options.rounds):
        for work in WORKS:
            command = [sys.executable, __file__, *sys.argv[1:], "--worker", work]
            seen[work].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    rows = []
    for work, found in seen.items():
        row = {"model": options.model, "work": work, "threads": options.threads, "rounds": options.rounds}
        row["samples"] = options.samples if work.endswith("data") else 1
        for key in ("seconds", "mebibytes", "peak_mebibytes"):
            values = [each[key] for each in found]
            row |= {key: round(median(values), 2), f"{key}_low": round(min(values), 2)}
            row[f"{key}_high"] = round(max(values), 2)
        row["verdict"] = found[0]["verdict"]
        rows.append(row)
        print(
            f"{work}: {row['seconds']:.2f} s ({row['seconds_low']:.2f} to {row['seconds_high']:.2f}), "
            f"{row['peak_mebibytes']:.0f} MiB, {row['mebibytes']:.0f} of it beyond the model {row['verdict']}"
        )
    print(results.write("audit_speed", rows).relative_to(results.ROOT))


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    import torch

    import spikedrive as sd

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = sd.create_model(options.model).eval()
    example = torch.rand(1, 3, 224, 224)
    data = torch.rand(options.samples, 3, 224, 224) if options.worker.endswith("data") else None
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before, start, verdict = _mebibytes("VmRSS"), time.perf_counter(), ""
    if options.worker.startswith("audit"):
        verdict = sd.audit(model, example, data=data).verdict
    else:
        with torch.no_grad():
            for sample in (example if data is None else data).split(1):
                model(sample)
    seconds = time.perf_counter() - start
    peak = _mebibytes("VmHWM")
    return {"seconds": seconds, "mebibytes": peak - before, "peak_mebibytes": peak, "verdict": verdict}


def _mebibytes(key: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="meta_spikeformer_55m")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--samples", type=int, default=8, help="of the data on which densities are measured")
    parser.add_argument("--worker", choices=WORKS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
