"""Normalising, and transforms in a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor

from spikedrive.errors import DtypeError, ShapeError

Transform = Callable[[Tensor, torch.Generator], Tensor]
"""`t(images, generator) -> images`: all randomness comes from the generator."""


@final
class Compose:
    """Transforms one after the other.

    Shapes: images (B, C, H, W) -> (B, C, H, W) of the same dtype.
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = tuple(transforms)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The images after every transform."""
        for transform in self.transforms:
            images = transform(images, generator)
        return images


def normalise(
    images: Tensor, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Bytes to what a model takes.

    Equation: (images / 255 - mean) / std, per channel.
    Shapes: images (B, C, H, W) uint8, mean and std of C numbers -> (B, C, H, W) of `dtype`.
    Raises: DtypeError for anything but uint8; ShapeError when mean or std has not C numbers.
    """
    if images.dtype != torch.uint8:
        raise DtypeError(
            f"normalise got {images.dtype}; it takes torch.uint8 (0 to 255). Normalise once, at the end."
        )
    if not len(mean) == len(std) == images.shape[-3]:
        raise ShapeError(
            f"normalise got {len(mean)} means and {len(std)} deviations for images of shape {tuple(images.shape)}; it "
            "takes one of each a channel. ImageSet.statistics gives both."
        )
    centre, spread = (torch.tensor(v, dtype=dtype, device=images.device)[:, None, None] for v in (mean, std))
    return (images.to(dtype) / 255 - centre) / spread
