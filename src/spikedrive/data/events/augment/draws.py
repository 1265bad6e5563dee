"""What the transforms draw, as numbers and arrays."""

from __future__ import annotations

import math

import numpy as np
import torch

from spikedrive.errors import ConfigError


def between(low: float, high: float, generator: torch.Generator) -> float:
    """One number, uniform from low to high."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def uniform(count: int, generator: torch.Generator) -> np.ndarray:
    """Numbers in [0, 1).

    *Shapes*: (count,) float64.
    """
    return torch.rand(count, generator=generator, dtype=torch.float64).numpy()


def normal(count: int, generator: torch.Generator) -> np.ndarray:
    """Numbers around 0 with a deviation of 1.

    *Shapes*: (count,) float64.
    """
    return torch.randn(count, generator=generator, dtype=torch.float64).numpy()


def check_range(
    found: tuple[float, float], what: str, low: float, high: float = math.inf
) -> tuple[float, float]:
    """The range itself.

    *Raises*: ConfigError unless it rises, and lies between low and high.
    """
    if not low <= found[0] <= found[1] <= high:
        raise ConfigError(
            f"{what}={found}; it takes two numbers, the second not smaller, from {low:g} to {high:g}. Correct them."
        )
    return found
