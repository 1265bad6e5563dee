"""A spiking layer and two small networks against other libraries: time, memory, first call.

Usage: python benchmarks/neurons.py [--quick] [--works PATTERN ...] [--rounds N] [--threads N ...]

A work is named like lif/T16/atan, peak/T16/atan, first/T4/atan, vgg or spikformer; a pattern is a shell's.
Rows measured now replace those of the same work, contender and thread count in results/neurons.csv; the
others keep their date and commit. `--quick` takes small inputs and few rounds, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from types import MappingProxyType
from typing import Any

import peers
import results

OURS, REFERENCE, COMPILED = "spikedrive", "spikingjelly", "spikingjelly compiled"
WHOLE, NO_NORM, NO_NEURON = "spikingjelly net compiled", "spikedrive without BatchNorm", "no neuron"
LAYERS = (REFERENCE, OURS, COMPILED, "snntorch", "norse", "sinabs", "plain loop")
STEPS, SURROGATES = (1, 4, 16, 64), ("atan", "rectangular")
SHAPE, SMALL = (32, 128, 14, 14), (2, 64, 14, 14)
KEY = ("work", "threads", "contender")
FIGURES = (
    "ms", "ms_min", "ratio", "ratio_low", "ratio_high", "cpu_ratio", "saved_bytes", "unequal_spikes",
    "gradient_error", "peak", "peak_least", "first_s",
)  # fmt: skip
FRUGAL = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
# spikes and gradients further from the reference's than this are no spikes and gradients of the same neuron
MOST_UNEQUAL, MOST_GRADIENT_ERROR = 1e-5, 2e-3


def works() -> dict[str, dict[str, Any]]:
    """Every work by its name, in the order in which they are measured."""
    found: dict[str, dict[str, Any]] = {}
    for measure, name in (("race", "lif"), ("peak", "peak"), ("first", "first")):
        for steps in STEPS if measure != "first" else (4,):
            for surrogate in SURROGATES:
                found[f"{name}/T{steps}/{surrogate}"] = {
                    "measure": measure, "kind": "lif", "steps": steps, "surrogate": surrogate,
                }  # fmt: skip
    for kind in ("vgg", "spikformer"):
        found[kind] = {"measure": "race", "kind": kind, "steps": 4, "surrogate": "atan"}
        found[f"{kind}/rectangular"] = {**found[kind], "surrogate": "rectangular"}
    return found


def main() -> None:
    """Measure what was asked for, and write it row by row, so that an interrupted run keeps what it has."""
    options = _options()
    if not options.quick:
        results.refuse_while_red()
    interpreter = peers.python()
    for name, work in works().items():
        if not any(fnmatch(name, pattern) for pattern in options.works):
            continue
        # memory and the first call do not depend on the thread count
        for threads in options.threads if work["measure"] == "race" else options.threads[:1]:
            job = {**work, "threads": threads, "rounds": options.rounds}
            job["shape"] = SMALL if options.quick else SHAPE
            rows = _measure(interpreter, name, job, options.contenders)
            for row in rows:
                print(_line(row), flush=True)
            if not options.quick and rows:
                _merge(rows)


def _measure(interpreter: Path, name: str, job: dict[str, Any], only: list[str]) -> list[dict[str, object]]:
    field = (*LAYERS, WHOLE, NO_NORM, NO_NEURON) if job["kind"] != "lif" else LAYERS
    chosen = [c for c in field if any(fnmatch(c, pattern) for pattern in only)]
    # the reference runs in every race: the others are measured by it
    chosen = [*({REFERENCE} - set(chosen)), *chosen] if job["measure"] == "race" else chosen
    alone = job["measure"] != "race"
    found: dict[str, dict[str, float]] = {}
    for group in [[c] for c in chosen] if alone else [chosen]:
        found |= _child(interpreter, {**job, "contenders": group})
        if job["measure"] == "peak":
            # once more, with a malloc that keeps nothing for later
            for contender, figures in _child(interpreter, {**job, "contenders": group}, FRUGAL).items():
                found[contender]["peak_least"] = figures["peak"]
    if OURS in found and job["measure"] == "race" and job["kind"] == "lif":
        _check(name, found[OURS])
    return [_row(name, job, contender, figures) for contender, figures in found.items()]


def _child(
    interpreter: Path, job: dict[str, Any], settings: Mapping[str, str] = MappingProxyType({})
) -> dict[str, dict[str, float]]:
    """The worker's answer; its own words go to this terminal."""
    threads = str(job["threads"])
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **settings}
    with tempfile.TemporaryDirectory() as empty:
        # a first call is that of a new machine, anything else may use what an earlier run compiled
        cache = Path(empty) if job["measure"] == "first" else peers.FOLDER / "compiled"
        environment["TORCHINDUCTOR_CACHE_DIR"] = str(cache)
        worker = Path(__file__).with_name("neuron_worker.py")
        done = subprocess.run(
            [str(interpreter), str(worker), json.dumps(job)],
            env=environment, stdout=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        sys.exit(
            f"error: the worker ended with {done.returncode} at {json.dumps(job)}; its words stand above."
        )
    return json.loads(done.stdout.splitlines()[-1])


def _check(name: str, ours: dict[str, float]) -> None:
    if ours["unequal_spikes"] > MOST_UNEQUAL or ours["gradient_error"] > MOST_GRADIENT_ERROR:
        sys.exit(
            f"error: {name}: {ours['unequal_spikes']:.1e} of the spikes and {ours['gradient_error']:.1e} of the "
            f"gradient differ from {REFERENCE}'s; a speed of wrong spikes is no speed."
        )


def _row(name: str, job: dict[str, Any], contender: str, figures: dict[str, float]) -> dict[str, object]:
    row: dict[str, object] = {
        "work": name, "threads": job["threads"], "contender": contender, "steps": job["steps"],
        "surrogate": job["surrogate"], "rounds": job["rounds"] if job["measure"] == "race" else 1,
    }  # fmt: skip
    return row | {key: f"{figures[key]:.4g}" if key in figures else "" for key in FIGURES}


def _line(row: dict[str, object]) -> str:
    told = " ".join(f"{key} {row[key]}" for key in FIGURES if row[key] != "")
    return f"{row['work']} {row['threads']} thr. {row['contender']}: {told}"


def _merge(rows: list[dict[str, object]]) -> None:
    kept: dict[tuple[str, ...], dict[str, object]] = {
        tuple(str(row[key]) for key in KEY): dict(row) for row in results.read("neurons")
    }
    here = results.provenance()
    for row in rows:
        kept[tuple(str(row[key]) for key in KEY)] = {**here, **row}
    order = {name: place for place, name in enumerate(works())}
    field = {name: place for place, name in enumerate((*LAYERS, WHOLE, NO_NORM, NO_NEURON))}
    results.write(
        "neurons",
        sorted(
            kept.values(),
            key=lambda r: (order[str(r["work"])], int(str(r["threads"])), field[str(r["contender"])]),
        ),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="small inputs, 3 rounds, T up to 4; writes nothing"
    )
    parser.add_argument("--works", nargs="+", metavar="PATTERN", help="works to measure (all)")
    parser.add_argument(
        "--contenders", nargs="+", default=["*"], metavar="PATTERN", help="who takes part (all)"
    )
    parser.add_argument("--rounds", type=int, help="interleaved rounds of a race (15)")
    parser.add_argument("--threads", nargs="+", type=int, help="thread counts (1 2)")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 15)
    options.threads = options.threads or ([1] if options.quick else [1, 2])
    options.works = options.works or (["*/T1/*", "*/T4/*", "vgg", "spikformer"] if options.quick else ["*"])
    return options


if __name__ == "__main__":
    main()
