"""Samples to the axes that a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from spikedrive.errors import ConfigError, ShapeError


def collate(samples: Sequence[Tensor], input: Literal["image", "frames", "points"] = "image") -> Tensor:
    """One batch from samples, laid out as the model card's `input` says.

    Shapes: "image" (C, H, W) each -> (B, C, H, W); "frames" (T, C, H, W) each -> (T, B, C, H, W);
    "points" (N, D) each -> (B, N, D).
    Raises: ShapeError for samples of different shapes or none; ConfigError for another `input`.

    >>> collate([torch.zeros(5, 2, 8, 8)] * 3, "frames").shape
    torch.Size([5, 3, 2, 8, 8])
    """
    if input not in ("image", "frames", "points"):
        raise ConfigError(
            f'collate got input={input!r}; it takes "image", "frames" or "points". The model card says which.'
        )
    shapes = sorted({tuple(s.shape) for s in samples})
    if len(shapes) != 1:
        raise ShapeError(
            f"collate got samples of shapes {shapes}; it takes at least one, all of one shape. "
            "Crop, resize or cut them to the same size and number of steps."
        )
    return torch.stack(list(samples), dim=1 if input == "frames" else 0)
