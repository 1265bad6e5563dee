"""Recipes for Shakespeare's plays, which come with the package, as bytes."""

from __future__ import annotations

from spikedrive.recipes._registry import RECIPES
from spikedrive.training import Recipe


def spikegpt_6m() -> Recipe:
    """SpikeGPT in its released form.

    *Command*: `spikedrive train shakespeare.spikegpt_6m`.
    *Measured*: nothing yet; `python benchmarks/shakespeare.py` writes benchmarks/results/shakespeare.csv.
    """
    return Recipe(
        model="spikegpt_6m",
        data="shakespeare",
        task={"name": "lm", "context": 256, "steps": 400, "wrap": 1e-4},
        epochs=5,
        batch_size=8,
        lr=1e-3,
        warmup_epochs=0.25,
        weight_decay=0.01,
        optimizer_args={"betas": [0.9, 0.99]},
        clip=1.0,
        save_minutes=2.0,
    )


def spikegpt_additive_6m() -> Recipe:
    """The SpikeGPT whose products all meet spikes.

    *Command*: `spikedrive train shakespeare.spikegpt_additive_6m`.
    *Measured*: 2.373 bits a byte of the test plays, one seed, 1,255 steps of `python benchmarks/shakespeare.py`
    (2026-11-23, benchmarks/results/shakespeare.csv).
    """
    return spikegpt_6m().replace(
        model="spikegpt_additive_6m", lr=3e-3, task={"name": "lm", "context": 256, "steps": 400}
    )


def gpt_dense_6m() -> Recipe:
    """The dense twin.

    *Command*: `spikedrive train shakespeare.gpt_dense_6m`.
    *Measured*: nothing yet; `python benchmarks/shakespeare.py` writes benchmarks/results/shakespeare.csv.
    """
    return spikegpt_6m().replace(
        model="gpt_dense_6m", lr=1e-3, task={"name": "lm", "context": 256, "steps": 400}
    )


for make in (spikegpt_6m, spikegpt_additive_6m, gpt_dense_6m):
    RECIPES.add(f"shakespeare.{make.__name__}", make)
