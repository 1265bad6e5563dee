"""What one process computes at once, and the addresses of random numbers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from spikedrive.data import generator
from spikedrive.training.recipe import Recipe

# what a number is drawn for: the last word of its address
SPLIT, WEIGHTS, ORDER, AUGMENT, MODEL = range(5)


@dataclass(frozen=True)
class Part:
    """A share of a batch, ready for the model.

    *Shapes*: images x (B, C, H, W) with targets (B,) or (B, K); tokens x and targets (L, B).
    """

    x: Tensor
    targets: Tensor
    seed: int
    """For what the model draws itself, such as drop-path."""
    samples: int
    """B."""


def seed_of(recipe: Recipe, *where: int) -> int:
    """The seed of one place in a run."""
    return generator(recipe.seed, *where).initial_seed()
