"""The recipe for a user's own images."""

from __future__ import annotations

import os

from spikedrive.training import Recipe


def image_folder(model: str, data: str | os.PathLike[str]) -> Recipe:
    """Any model on any source of `data.load_images`, with settings that are a start and no published figure.

    *Command*: `spikedrive train MODEL --data FOLDER`; a few hundred images need `--weights CKPT`.
    *Raises*: nothing here; `train` says what is wrong with the model or the data.
    """
    return Recipe(
        model=model,
        data=os.fspath(data),
        epochs=30,
        batch_size=32,
        lr=1e-3,
        warmup_epochs=2.0,
        weight_decay=0.05,
        label_smoothing=0.1,
        ema=0.99,
        clip=5.0,
        augment={"RandomCrop": {"padding": 4}, "RandomHorizontalFlip": {}},
    )
