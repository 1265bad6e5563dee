"""The engine against PyTorch: every row of its table, each in a process of its own.

Usage: python benchmarks/engine.py [--works PATTERN ...] [--batch N ...] [--threads N ...] [--rounds N] [--quick]

A work is named like binary/0.15, integer/0.4, published/0.15, nano, avx2/binary/0.15, attention/0.15, language/0.1,
memory/binary or layers/binary; a pattern is a shell's. Rows measured now replace those of the same processor, work,
rival, batch and thread count in results/engine.csv; the others keep their date and commit. Of layers, which one figure
shows, results/engine_layers.csv holds those of one processor.
`--quick` takes two rounds and writes nothing. nano needs a trained run; one is made in runs/bench_nano where there is
none.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import results

SHAPE, PUBLISHED, NANO = (
    "meta_spikeformer_spiking_15m",
    "meta_spikeformer_15m",
    results.ROOT / "runs/bench_nano",
)
NANO_RECIPE = "fashion_mnist_mini"
BATCHES, THREADS = (1, 8), (1, 2)
KEY = ("cpu", "work", "against", "batch", "threads")
FIELDS = (
    "work", "against", "batch", "threads", "rounds", "isa", "amx", "ratio", "ratio_low", "ratio_high", "ours_ms",
    "ours_low", "ours_high", "theirs_ms", "theirs_low", "theirs_high", "form", "weights", "asked_density", "density",
    "density_low", "density_high", "rate", "steps", "weight_bits", "verdict", "exact", "peak_mebibytes",
    "needed_mebibytes", "torch",
)  # fmt: skip
LAYER_FIELDS = ("work", "place", "layer", "operation", "kind", "density", "additions", "bytes", "seconds", "add_rate",
                "bandwidth", "isa", "rounds")  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What is run: words for `spikedrive bench`, or a job for engine_worker.py."""

    words: tuple[str, ...] = ()
    job: dict[str, Any] = field(default_factory=dict)
    batches: tuple[int, ...] = BATCHES
    threads: tuple[int, ...] = THREADS


def works() -> dict[str, Work]:
    """Every work by its name, in the order in which they are measured."""
    found: dict[str, Work] = {}
    integer = ("--neuron", "ILIF", "--steps", "1", "--against", "binary,binary_plain,ann,bf16,int8,fp32")
    for density in ("0.15", "0.05"):
        found[f"binary/{density}"] = Work((SHAPE, "--density", density, "--against", "fp32,plain"))
    for density in ("0.15", "0.4"):
        found[f"integer/{density}"] = Work((SHAPE, "--density", density, *integer))
    found["published/0.15"] = Work((PUBLISHED, "--density", "0.15", "--dense-separable"))
    found["nano"] = Work((str(NANO), NANO_RECIPE, "--against", "fp32,ann,int8"))
    for name in ("binary/0.15", "integer/0.15"):
        found[f"avx2/{name}"] = Work((*found[name].words, "--isa", "avx2"), batches=(1,), threads=(1,))
    for density in (0.05, 0.15, 0.3):
        found[f"attention/{density}"] = Work(job={"measure": "attention", "density": density})
    for density in (0.1, 0.2):
        found[f"language/{density}"] = Work(job={"measure": "language", "density": density}, batches=(1,))
    found["language/trained"] = Work(job={"measure": "decode"}, batches=(1,))
    for name, model in (
        ("binary", {"model": SHAPE}),
        ("integer", {"model": SHAPE, "neuron": "ILIF", "steps": 1}),
    ):
        found[f"memory/{name}"] = Work(job={"measure": "memory", "density": 0.15, **model}, threads=(1,))
        found[f"layers/{name}"] = Work(
            job={"measure": "layers", "density": 0.15, **model}, batches=(1,), threads=(1,)
        )
    return found


def main() -> None:
    """Measure what was asked for, and write it work by work, so that an interrupted run keeps what it has."""
    options = _options()
    if not options.quick:
        results.refuse_while_red()
    for name, work in works().items():
        if not any(fnmatch(name, pattern) for pattern in options.works):
            continue
        for batch in work.batches if options.batch is None else options.batch:
            for threads in work.threads if options.threads is None else options.threads:
                rows = _measure(name, work, batch, threads, options.rounds)
                for row in rows:
                    print(_line(row), flush=True)
                if not options.quick:
                    _merge(name, rows)


def _measure(name: str, work: Work, batch: int, threads: int, rounds: int) -> list[dict[str, Any]]:
    if work.words:
        if name == "nano":
            _train_nano()
        settings = ["--batch", str(batch), "--threads", str(threads), "--rounds", str(rounds), "--json"]
        answer = _child(["-m", "spikedrive", "bench", *work.words, *settings], threads)
        rows = [{**row, "torch": answer["machine"]["torch"]} for row in answer["rows"]]
    else:
        job = {**work.job, "batch": batch, "threads": threads, "rounds": rounds}
        rows = _child([str(Path(__file__).with_name("engine_worker.py")), json.dumps(job)], threads)
    unequal = [row for row in rows if row.get("exact") is False]
    if unequal:
        sys.exit(
            f"error: {name}: the integers are not those of the interpreter; a speed of wrong ones is no speed."
        )
    amx = "amx_int8" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    always = {
        "work": name,
        "batch": batch,
        "threads": threads,
        "rounds": rounds,
        "amx": "yes" if amx else "no",
    }
    return [{**row, **always} for row in rows]


def _train_nano() -> None:
    if not (NANO / "checkpoints" / "best.safetensors").is_file():
        command = [sys.executable, "-m", "spikedrive", "train", NANO_RECIPE, "--out", str(NANO)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _child(words: list[str], threads: int) -> Any:
    """The JSON that the process prints; its other words go to this terminal."""
    count = str(threads)
    environment = {**os.environ, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}
    done = subprocess.run(
        [sys.executable, *words], env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    # 1 is a negative answer, which the caller sees in the rows
    if done.returncode not in (0, 1) or not done.stdout:
        sys.exit(
            f"error: a measurement ended with {done.returncode} at {' '.join(words)}; its words stand above."
        )
    return json.loads(done.stdout)


def _line(row: dict[str, Any]) -> str:
    where = f"{row['work']}, batch {row['batch']}, {row['threads']} thr."
    if row.get("seconds") is not None:
        rate = row["additions"] / row["seconds"] / 1e9
        return f"{where} {row['layer']} {row['operation']}: {1e3 * row['seconds']:.2f} ms, {rate:.1f} additions a ns"
    against = f"{where} against {row['against']}: {row['ratio']:.2f}"
    if row.get("ours_ms") is None:
        return f"{against} ({row['peak_mebibytes']:.0f} of {row['needed_mebibytes']:.0f} MiB)"
    return (
        f"{against} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f}), ours {row['ours_ms']:.2f} ms, theirs "
        f"{row['theirs_ms']:.2f} ms ({row.get('form', '')})"
    )


def _merge(name: str, rows: list[dict[str, Any]]) -> None:
    file, key, fields = (
        ("engine_layers", ("cpu", "work", "place"), LAYER_FIELDS)
        if name.startswith("layers/")
        else ("engine", KEY, FIELDS)
    )
    here = results.provenance()
    kept: dict[tuple[str, ...], dict[str, object]] = {
        tuple(row[k] for k in key): dict(row)
        for row in results.read(file)
        if file == "engine" or (row["work"] != name and row["cpu"] == here["cpu"])
    }
    for row in rows:
        full = {**{each: _cell(row.get(each)) for each in fields}, **here}
        kept[tuple(str(full[k]) for k in key)] = {**here, **full}
    order = {name: place for place, name in enumerate(works())}
    results.write(file, sorted(kept.values(), key=lambda row: (str(row["cpu"]), order[str(row["work"])])))


def _cell(value: Any) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else value


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two rounds; writes nothing")
    parser.add_argument("--works", nargs="+", metavar="PATTERN", default=["*"], help="works to measure (all)")
    parser.add_argument("--batch", nargs="+", type=int, help="batch sizes (1 8)")
    parser.add_argument("--threads", nargs="+", type=int, help="thread counts (1 2)")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (15)")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 15)
    return options


if __name__ == "__main__":
    main()
