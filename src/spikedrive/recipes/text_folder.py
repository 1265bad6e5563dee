"""The recipe for a user's own text."""

from __future__ import annotations

import os

from spikedrive.training import Recipe


def text_folder(model: str, data: str | os.PathLike[str]) -> Recipe:
    """Any language model on any source of `data.text.read_texts`; the settings are a start and no published figure.

    *Command*: `spikedrive train MODEL --data FOLDER`; more tokens of context are `task.context=512`.
    *Raises*: nothing here; `train` says what is wrong with the model or the text.
    """
    return Recipe(
        model=model,
        data=os.fspath(data),
        task={"name": "lm", "context": 256},
        epochs=5,
        batch_size=8,
        lr=1e-3,
        warmup_epochs=0.25,
        weight_decay=0.01,
        optimizer_args={"betas": [0.9, 0.99]},
        clip=1.0,
        save_minutes=2.0,
    )
