"""The recipe for clips of events."""

from __future__ import annotations

import os

from spikedrive.training import Recipe


def event_clips(model: str, data: str | os.PathLike[str]) -> Recipe:
    """Any model of frames on any source of `data.events.load_events`, with settings that are a start and no published
    figure.

    *Command*: `spikedrive train MODEL --data saccades_fashion_mini`, or NAME:FOLDER, or a folder of recordings.
    *Raises*: nothing here; `train` says what is wrong with the model or the data.
    """
    return Recipe(
        model=model,
        data=os.fspath(data),
        task={"name": "events"},
        epochs=20,
        batch_size=32,
        lr=1e-3,
        warmup_epochs=1.0,
        weight_decay=0.05,
        label_smoothing=0.1,
        clip=5.0,
    )
