"""Clips that a network of frames learns in seconds: a bar that lies or stands, and moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from spikedrive.data.events import Events, write_recording
from spikedrive.training import Recipe

SIDE, WINDOW = 16, 5_000
TINY = {"width": 16, "depth": 1, "heads": 2, "mlp_ratio": 2, "pooling": "1100"}


def moving_bar(stands: bool, seed: int, *, windows: int = 6) -> Events:
    """200 events of each window on a bar of 2 x 8 pixels, which moves to the right by a pixel a window."""
    wide, high = (2, 8) if stands else (8, 2)
    source = np.random.default_rng(seed)
    parts = []
    for k in range(windows):
        t = np.sort(source.integers(k * WINDOW, (k + 1) * WINDOW, 200))
        x, y = (k + source.integers(0, wide, 200)) % SIDE, 2 + seed % 5 + source.integers(0, high, 200)
        parts.append((t, x, y, source.integers(0, 2, 200)))
    t, x, y, p = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Events.of(t, x, y, p, width=SIDE, height=SIDE)


def write_bars(root: Path, *, train: int = 40, test: int = 8) -> Path:
    """A folder of recordings of both classes."""
    for split, count, first in (("train", train, 0), ("test", test, 1000)):
        for i in range(count):
            name = "stands" if i % 2 else "lies"
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            write_recording(folder / f"{i:03}.npz", moving_bar(i % 2 == 1, first + i))
    return root


def bar_recipe(data: Path, **changes: Any) -> Recipe:
    """A small Spike-driven Transformer on frames of 16 x 16."""
    fields: dict[str, Any] = {
        "model": "spike_driven_transformer_cifar10_dvs_2_256", "model_args": TINY, "data": str(data), "epochs": 2,
        "batch_size": 8, "val_fraction": 0.2, "lr": 1e-2, "threads": 1, "device": "cpu", "warmup_epochs": 0.0,
        "task": {"name": "events", "window": WINDOW, "steps": 6, "size": SIDE},
    }  # fmt: skip
    return Recipe(**{**fields, **changes})
