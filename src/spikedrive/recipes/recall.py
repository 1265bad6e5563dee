"""The recipe for learning to recall, on texts that are made from the seed."""

from __future__ import annotations

from typing import Literal

from spikedrive.training import Recipe


def recall(model: str, task: Literal["mqar", "passkey"]) -> Recipe:
    """Any language model on multi-query associative recall, or on a number hidden in filler text.

    *Command*: `spikedrive train MODEL --task mqar`; harder questions are `task.pairs=16 task.length=128`.
    *Measured*: benchmarks/results/associative_recall.csv, of small models with settings of their own.
    """
    return Recipe(
        model=model,
        data=task,
        task={"name": task},
        epochs=10,
        batch_size=64,
        lr=2e-3,
        warmup_epochs=0.5,
        weight_decay=0.01,
        clip=1.0,
        save_minutes=2.0,
    )
