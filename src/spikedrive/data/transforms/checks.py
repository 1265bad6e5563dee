"""What every transform asks of its input, and draws from its generator."""

from __future__ import annotations

import torch
from torch import Tensor

from spikedrive.errors import ConfigError, DtypeError, ShapeError


def check_images(images: Tensor, who: str) -> None:
    """Raises: ShapeError unless (B, C, H, W), DtypeError unless uint8 or floating point."""
    if images.dim() != 4:
        raise ShapeError(
            f"{who} got images of shape {tuple(images.shape)}; it takes a batch (B, C, H, W). Add the batch axis."
        )
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise DtypeError(f"{who} got images of {images.dtype}; it takes torch.uint8 or floats. Convert them.")


def check_share(share: float, what: str) -> float:
    """The share itself.

    Raises: ConfigError unless it lies in 0 .. 1.
    """
    if not 0.0 <= share <= 1.0:
        raise ConfigError(f"{what}={share}; it takes a number from 0 to 1. Correct it.")
    return share


def uniform(shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    """Numbers in [0, 1), drawn where the generator lives."""
    return torch.rand(shape, generator=generator, device=generator.device).to(device)


def whole(below: int, shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    """Whole numbers in 0 .. below - 1, drawn where the generator lives."""
    return torch.randint(below, shape, generator=generator, device=generator.device).to(device)
