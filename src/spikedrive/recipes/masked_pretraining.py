"""The recipe for pretraining on images without labels."""

from __future__ import annotations

import os

from spikedrive.training import Recipe


def masked_pretraining(model: str, data: str | os.PathLike[str]) -> Recipe:
    """Any model of maps on any source of `data.load_images`; the labels are not looked at.

    Half of the patches are masked; the decoder has width 64 and depth 2, which suits small models and images. For
    the published pyramids the decoder of Spike-driven Transformer V3 is `task.width=256 task.depth=4`, and a model
    with layer scale learns more from 1 than from its 1e-6: `model_args.layer_scale=1`.

    *Command*: `spikedrive train MODEL --data FOLDER --task masked`, then `spikedrive train MODEL --data LABELLED
    --weights RUN`. The image size must be one that all strides divide: for the nano models `image_size=32`.
    *Source*: AdamW with betas 0.9 and 0.95, weight decay 0.05, mask ratio and crops as Spike-driven Transformer V3
    (arXiv 2411.16061); the learning rate and epochs are for small data and no published figure.
    *Raises*: nothing here; `train` says what is wrong with the model or the data.
    """
    return Recipe(
        model=model,
        data=os.fspath(data),
        task={"name": "masked", "ratio": 0.5, "width": 64, "depth": 2},
        epochs=30,
        batch_size=64,
        lr=2e-3,
        warmup_epochs=2.0,
        weight_decay=0.05,
        optimizer_args={"betas": [0.9, 0.95]},
        ema=0.99,
        clip=5.0,
        threads=1,
        augment={"RandomHorizontalFlip": {}},
    )
