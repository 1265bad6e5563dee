"""One measurement in a process of its own; benchmarks/engine.py starts it.

Usage: python engine_worker.py JOB      (a JSON object; the output is a list of rows as JSON)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

MEBIBYTE = 2**20


def main(job: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a job."""
    measures = {
        "attention": attention, "language": language, "decode": decode, "memory": memory, "layers": layers,
    }  # fmt: skip
    return measures[job["measure"]](job)


def attention(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Q (K^T V) against torch.matmul."""
    import engine_attention

    return [{"against": "fp32", "weights": "random", **engine_attention.main(job)}]


def language(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Token decode of a random language stack."""
    import language_stack

    rivals = {"PyTorch fp32": "fp32", "PyTorch dynamic int8": "dynamic int8"}
    return [
        {
            **{key: row[key] for key in ("ours_ms", "theirs_ms", "ratio")},
            "ratio_low": row["low"], "ratio_high": row["high"], "against": rivals[row["against"]],
            "weights": "random", "asked_density": job["density"],
            **{f"{who}_{end}": row[f"{who}_ms"] for who in ("ours", "theirs") for end in ("low", "high")},
        }
        for row in language_stack.rows(job["density"], rounds=job["rounds"], threads=job["threads"])
    ]  # fmt: skip


def decode(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Token decode of the language model that comes with the package."""
    import language_decode

    return language_decode.rows(rounds=job["rounds"], threads=job["threads"])


def memory(job: dict[str, Any]) -> list[dict[str, Any]]:
    """The peak of a deployed program, in a process without torch, over what its weights and activations need."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.sdx"
        _subject(job).program.save(path)
        words = ["-m", "spikedrive.engine.measure.memory", str(path), str(job["batch"]), str(job["threads"])]
        done = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    needed = found["weights"] + found["activations"]
    return [
        {
            "against": "weights and live activations", "weights": "random", "asked_density": job["density"],
            "ratio": found["peak"] / needed, "peak_mebibytes": found["peak"] / MEBIBYTE,
            "needed_mebibytes": needed / MEBIBYTE, "isa": found["isa"],
        }
    ]  # fmt: skip


def layers(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Every layer's additions, bytes and time, with what the machine can do at most in each row."""
    from spikedrive import native
    from spikedrive.engine.measure.layers import add_rate, bandwidth, layer_times
    from spikedrive.engine.measure.race import pinned

    subject = _subject(job)
    with pinned(job["threads"]):
        machine = {"add_rate": add_rate(), "bandwidth": bandwidth(), "isa": native.engine_level()}
        found = layer_times(subject.program, subject.images, threads=job["threads"], rounds=job["rounds"])
    return [{**asdict(layer), "place": place, **machine} for place, layer in enumerate(found)]


def _subject(job: dict[str, Any]) -> Any:
    from spikedrive.engine.measure import random_subject

    changes = {key: job[key] for key in ("neuron", "steps") if key in job}
    return random_subject(job["model"], job["density"], batch=job["batch"], **changes)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
