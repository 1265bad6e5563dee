"""A recipe that trains in a second: real layers on a few noisy pictures, one thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from spikedrive.training import Recipe

TINY_MODEL = {"widths": [4, 8], "depths": [1, 1], "strides": [2, 2], "heads": 2}


def write_pictures(path: Path, *, count: int = 40, classes: int = 4, names: list[str] | None = None) -> Path:
    """Noise with a bright quarter that tells the class."""
    source = np.random.default_rng(0)
    pictures, labels = source.integers(0, 120, (count, 1, 8, 8), dtype=np.uint8), np.arange(count) % classes
    for picture, label in zip(pictures, labels, strict=True):
        row, column = divmod(int(label) % 4, 2)
        picture[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 120
    np.savez(path, x=pictures, y=labels, **({"class_names": np.array(names)} if names else {}))
    return path


def tiny_recipe(pictures: Path, **changes: Any) -> Recipe:
    """2 epochs of 4 steps on 40 pictures, of which 8 are for validation."""
    fields: dict[str, Any] = {
        "model": "meta_spikeformer_nano", "model_args": TINY_MODEL, "data": str(pictures), "image_size": 8,
        "epochs": 2, "batch_size": 8, "val_fraction": 0.2, "lr": 1e-2, "ema": 0.9, "threads": 1, "device": "cpu",
        "augment": {"RandomCrop": {"padding": 1}},
    }  # fmt: skip
    return Recipe(**{**fields, **changes})
