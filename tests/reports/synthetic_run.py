"""A run's folder written by hand: small, and with names that would break a careless page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from spikedrive.auditing import TABLES, Audit, LayerRow, Remaining
from spikedrive.auditing.energy import Traffic
from spikedrive.auditing.result import COUNTS, MemoryUse, TableEnergy, Verdict, totals_of

HOSTILE = "</script><b>bag & 'boot'</b>"
NAMES = ("shirt", "shoe", HOSTILE)
ENVIRONMENT = {
    "versions": {"torch": "2.13.0"}, "machine": {"gpu": None}, "device": "cpu", "processes": 1, "threads": 2,
}  # fmt: skip
MODEL = "meta_spikeformer_nano"


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write one object."""
    path.write_text(json.dumps(values), encoding="utf-8")


def write_log(path: Path, epochs: int = 3, steps: int = 20) -> None:
    """A log as `train` writes it: a line every ten steps, one an epoch."""
    lines = []
    for epoch in range(1, epochs + 1):
        for step in range((epoch - 1) * steps + 10, epoch * steps, 10):
            lines.append({"kind": "step", "epoch": epoch, "step": step, "loss": 2 / epoch, "accuracy": 0.5,
                          "lr": 1e-3 / epoch, "firing_rate": None if step < 20 else 0.3})  # fmt: skip
        lines.append({"kind": "epoch", "epoch": epoch, "step": epoch * steps, "loss": 2 / epoch,
                      "accuracy": 0.5 + 0.1 * epoch, "val_loss": 2.2 / epoch,
                      "val_accuracy": 0.8 - 0.1 * (epoch - 2) ** 2, "lr": 1e-3 / epoch, "firing_rate": 0.3,
                      "samples_per_s": 100.0, "seconds": 10.0 * epoch})  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def write_run(run: Path, activity: Path) -> Path:
    """Every artifact of a finished run."""
    run.mkdir(parents=True, exist_ok=True)
    write_json(
        run / "recipe.json", {"model": MODEL, "data": "my <data>", "seed": 3, "epochs": 3, "augment": {}}
    )
    write_json(run / "environment.json", ENVIRONMENT)
    write_json(
        run / "metrics.json",
        {"val_accuracy": 0.8, "epochs": 3, "seconds": 83.0, "samples_per_s": 65.1, "parameters": 379466},
    )
    write_log(run / "log.jsonl")
    shutil.copy(activity, run / "activity.npz")
    write_predictions(run / "predictions.npz")
    audit("additive", exceptions=0).save(run / "audit.json")
    audit("hybrid", exceptions=2).save(run / "audit_trained.json")
    write_json(run / "verify.json", verification())
    return run


def write_predictions(path: Path) -> None:
    """Six test images, one of them wrong."""
    labels = np.array([0, 0, 1, 1, 2, 2])
    answers = np.array([0, 1, 1, 1, 2, 2])
    np.savez(path, labels=labels, predictions=answers, predictions_fp32=labels, class_names=np.array(NAMES))


def audit(verdict: Verdict, exceptions: int) -> Audit:
    """A model of three operations; each exception is one more that multiplies."""
    kinds = [
        ("stem", "image x weight", 0, 1e5),
        ("block.conv", "integer x weight", 2e5, 0),
        ("head", "integer x weight", 1e3, 0),
    ]
    layers = tuple(
        layer(module, kind, additions, multiplied) for module, kind, additions, multiplied in kinds
    )
    left = Remaining("block.extra", "blocks/conv.py", 12, "aten.conv2d.default", "real x weight", 5e4, 0, "no <neuron>",
                     "fuse(model)")  # fmt: skip
    return Audit(
        model=MODEL, verdict=verdict, analog=("stem",), exceptions=(left,) * exceptions, layers=layers,
        totals=totals_of(layers), basis="measured", samples=64, table=TABLES["45nm"].to_dict(),
        graph_hash="0123456789abcdef", rules_version=1, steps=4, energies=energies(),
    )  # fmt: skip


def energies() -> tuple[TableEnergy, ...]:
    """Two tables: by one the model costs less than its twin, by the other more."""
    described = {
        "process": "45 nm",
        "source": "a <source>",
        "scope": "all of it",
        "derived": ("a write: a read",),
    }
    use = MemoryUse("SRAM 8 kB", 3e6, 2e6, 4e6, 1e5)
    return (
        TableEnergy(table="45nm", precision="fp32", joules=6.4e-7, memory_joules=0.0, dense_joules=1.38e-5,
                    dense_memory_joules=0.0, memories=(use,), **described),
        TableEnergy(table="45nm_memory", precision="fp32", joules=3e-5, memory_joules=2.9e-5, dense_joules=2e-5,
                    dense_memory_joules=1e-6, memories=(use,), **described),
    )  # fmt: skip


def layer(module: str, kind: str, additions: float, multiplications: float) -> LayerRow:
    """One row, its energies by the 45 nm table."""
    counts = dict.fromkeys(COUNTS, 0.0) | {
        "additions": additions,
        "multiplications": multiplications,
        "dense_macs": 1e6,
    }
    counts |= {"joules": 0.9e-12 * additions + 4.6e-12 * multiplications, "dense_joules": 4.6e-6}
    return LayerRow(
        module=module, file="blocks/conv.py", line=1, op="aten.conv2d.default", kind=kind, domain="integer 0..4",
        note="", density=0.25, firing_rate=0.4, low=-3.0, high=None, bits=12, bytes_read=1e6,
        traffic=(Traffic("weights", "SRAM 8 kB", 1e6, 0.0, 0.0),),
        dense_traffic=(Traffic("activations", "SRAM 8 kB", 2e6, 5e4, 0.0),), **counts,
    )  # fmt: skip


def verification() -> dict[str, Any]:
    """What `engine.verify` writes, all equal."""
    return {
        "model": MODEL, "source": "0123", "weight_bits": 8, "images": 6, "equal": True, "neurons": 20,
        "integers": 55000, "unequal": 0, "unequal_neurons": {}, "logits_equal": True, "agreement": 5 / 6,
        "accuracy_fp32": 1.0, "accuracy_program": 5 / 6, "points_lost": 100 / 6,
        "seconds": {"program": 0.5, "twin": 0.25, "fp32": 0.0},
        "bounds": [{"module": "stem", "operation": "Conv", "low": -300, "high": 400, "peak": 500, "bits": 10}],
    }  # fmt: skip
