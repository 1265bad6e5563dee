"""A run's folder written by hand: small, and with names that would break a careless page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HOSTILE = "</script><b>bag & 'boot'</b>"
NAMES = ("shirt", "shoe", HOSTILE)
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
