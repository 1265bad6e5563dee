"""The recipe for clips of two cameras."""

from __future__ import annotations

import os

from spikedrive.training import Recipe


def paired_clips(model: str, data: str | os.PathLike[str]) -> Recipe:
    """Any model that names its cameras on any source of `data.events.load_paired`, with settings that are a start.

    *Command*: `spikedrive train mmhco_nano --data paired_actions`; one camera with 'model_args={"inputs": ["rgb"]}'.
    *Measured*: benchmarks/results/event_fusion.csv.
    """
    return Recipe(
        model=model,
        data=os.fspath(data),
        task={"name": "paired"},
        epochs=8,
        batch_size=32,
        lr=3e-3,
        warmup_epochs=1.0,
        weight_decay=0.05,
        label_smoothing=0.1,
        clip=5.0,
    )
