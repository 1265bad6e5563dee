"""Recipes for the simulated set of eight motions."""

from __future__ import annotations

from spikedrive.recipes._registry import RECIPES
from spikedrive.training import Recipe


def csnn_live() -> Recipe:
    """A convolutional network for slices of 5 ms at 128 x 128, to be watched live; it learns from the first 80 ms.

    *Command*: `spikedrive train moving_fashion_128.csnn_live`.
    *Measured*: benchmarks/results/streaming_latency.csv.
    """
    return Recipe(
        model="csnn_nano",
        model_args={
            "widths": [8, 32, 64, 128],
            "stride": 2,
            "pools": [2, 4, 2, 2],
            "size": 2,
            "hidden": [256],
        },
        data="moving_fashion_128",
        task={"name": "events", "window": 5_000, "steps": 16, "size": 128},
        epochs=2,
        batch_size=16,
        lr=2e-3,
        warmup_epochs=0.5,
        weight_decay=0.05,
        clip=5.0,
    )


RECIPES.add("moving_fashion_128.csnn_live", csnn_live)
