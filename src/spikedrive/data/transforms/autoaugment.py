"""AutoAugment: pairs of operations that a search found for ImageNet."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from spikedrive.data.transforms.checks import check_images, uniform, whole
from spikedrive.data.transforms.randaugment import apply, in_bytes, operations
from spikedrive.errors import ConfigError

LEVELS = 9
"""The magnitude at which an operation is strongest."""

Act = tuple[str, int, int]
"""An operation, its probability in tenths, and its magnitude of nine (0 where it has none)."""

POLICY: tuple[tuple[Act, Act], ...] = (
    (("posterise", 4, 8), ("rotate", 6, 9)), (("solarise", 6, 5), ("autocontrast", 6, 0)),
    (("equalise", 8, 0), ("equalise", 6, 0)), (("posterise", 6, 7), ("posterise", 6, 6)),
    (("equalise", 4, 0), ("solarise", 2, 4)), (("equalise", 4, 0), ("rotate", 8, 8)),
    (("solarise", 6, 3), ("equalise", 6, 0)), (("posterise", 8, 5), ("equalise", 10, 0)),
    (("rotate", 2, 3), ("solarise", 6, 8)), (("equalise", 6, 0), ("posterise", 4, 6)),
    (("rotate", 8, 8), ("colour", 4, 0)), (("rotate", 4, 9), ("equalise", 6, 0)),
    (("equalise", 0, 0), ("equalise", 8, 0)), (("invert", 6, 0), ("equalise", 10, 0)),
    (("colour", 6, 4), ("contrast", 10, 8)), (("rotate", 8, 8), ("colour", 10, 2)),
    (("colour", 8, 8), ("solarise", 8, 7)), (("sharpness", 4, 7), ("invert", 6, 0)),
    (("shear_x", 6, 5), ("equalise", 10, 0)), (("colour", 4, 0), ("equalise", 6, 0)),
    (("equalise", 4, 0), ("solarise", 2, 4)), (("solarise", 6, 5), ("autocontrast", 6, 0)),
    (("invert", 6, 0), ("equalise", 10, 0)), (("colour", 6, 4), ("contrast", 10, 8)),
    (("equalise", 8, 0), ("equalise", 6, 0)),
)  # fmt: skip
"""The 25 pairs for ImageNet; five of them stand there twice."""


@final
class AutoAugment:
    """One pair of `POLICY` for each image: its two operations in turn, each with its own probability and magnitude.

    Operations and their ranges are those of `RandAugment`, and inverting; those with two directions take one of them
    at random. Pixels that come from outside are `fill`. Floats are treated as there.

    *Shapes*: images (B, C, H, W) with 1 or 3 channels -> the same, of the same dtype.
    *Raises*: ConfigError for a fill that is no level of a byte.
    *Source*: Cubuk et al., arXiv 1805.09501, the policy for ImageNet, its magnitudes 0 to 9 spread evenly from nothing
    to the strongest as torchvision has them.
    """

    def __init__(self, *, fill: int = 0) -> None:
        if not 0 <= fill <= 255:
            raise ConfigError(f"AutoAugment got fill={fill}; it takes a level from 0 to 255. Correct it.")
        self.operations = {**operations(fill), "invert": lambda images, level: 255 - images}
        names = list(self.operations)
        # one row a pair
        self.numbers = torch.tensor([[names.index(name) for name, _, _ in pair] for pair in POLICY])
        self.shares = torch.tensor([[tenths / 10 for _, tenths, _ in pair] for pair in POLICY])
        self.levels = torch.tensor([[magnitude / LEVELS for _, _, magnitude in pair] for pair in POLICY])

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The images after their pairs of operations."""
        check_images(images, type(self).__name__)
        return in_bytes(images, lambda levels: self._augment(levels, generator))

    def _augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        chosen, level = self.draw(len(images), generator, images.device)
        images = images.clone()
        for place in range(2):
            apply(self.operations, images, chosen[:, place], level[:, place])
        return images

    def draw(self, batch: int, generator: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
        """The numbers of both operations and their signed levels for each image; 0 leaves it as it is.

        *Shapes*: -> (B, 2) int64, (B, 2) in -1 .. 1.
        """
        pair = whole(len(POLICY), (batch,), generator, device)
        acts = uniform((batch, 2), generator, device) < self.shares.to(device)[pair]
        negative = uniform((batch, 2), generator, device) < 0.5
        level = self.levels.to(device)[pair]
        return self.numbers.to(device)[pair] * acts, torch.where(negative, -level, level)
