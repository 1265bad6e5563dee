"""RandAugment: random operations of one strength."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import final

import torch
from torch import Tensor

from spikedrive.data.transforms import pixels
from spikedrive.data.transforms.checks import check_images, check_share, uniform, whole
from spikedrive.errors import ConfigError

Operation = Callable[[Tensor, Tensor], Tensor]
"""`operation(images, level) -> images` with a level in -1 .. 1 for each image."""

LEVELS = 30
"""The magnitude at which an operation is strongest."""


@final
class RandAugment:
    """`count` operations on each image, each drawn anew from fourteen, at `magnitude` of 30.

    The fourteen: as it is, autocontrast, equalise, rotate, solarise, colour, posterise, contrast,
    brightness, sharpness, and shear and translate along x and y. Those with two directions take
    one of them at random. `spread` is the standard deviation of the magnitude from image to image.
    Each operation acts with `probability`. Pixels that come from outside are `fill`. Floats are
    taken as 0 to 1 and come back rounded to whole 255ths, since the operations are defined on bytes.

    Shapes: images (B, C, H, W) with 1 or 3 channels -> the same, of the same dtype.
    Source: Cubuk et al., arXiv:1909.13719, figure 2; the ranges of AutoAugment, arXiv:1805.09501, table 6.
    We draw with replacement from all fourteen for every image, as the paper does, and use the nearest
    pixel where images are moved.
    """

    def __init__(
        self,
        count: int = 2,
        magnitude: float = 9,
        *,
        spread: float = 0.0,
        fill: int = 0,
        probability: float = 1.0,
    ) -> None:
        if count < 0 or not 0 <= magnitude <= LEVELS or spread < 0 or not 0 <= fill <= 255:
            raise ConfigError(
                f"RandAugment got count={count}, magnitude={magnitude}, spread={spread}, fill={fill}; it takes a count "
                f"of at least 0, a magnitude from 0 to {LEVELS}, a spread of at least 0 and a fill from 0 to 255. "
                "Correct it."
            )
        self.count, self.magnitude, self.spread, self.fill = count, magnitude, spread, fill
        self.probability = check_share(probability, "RandAugment got probability")
        self.operations = operations(fill)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The images after all operations."""
        check_images(images, type(self).__name__)
        return in_bytes(images, lambda levels: self._augment(levels, generator))

    def _augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        images = images.clone()
        for _ in range(self.count):
            chosen, level = self.draw(len(images), generator, images.device)
            apply(self.operations, images, chosen, level)
        return images

    def draw(self, batch: int, generator: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
        """The number of the operation and its signed level for each image.

        Shapes: -> (B,) int64, (B,) in -1 .. 1.
        """
        chosen = whole(len(self.operations), (batch,), generator, device)
        if self.probability < 1:
            # the first operation leaves an image as it is
            chosen = chosen * (uniform((batch,), generator, device) < self.probability)
        negative = uniform((batch,), generator, device) < 0.5
        noise = torch.randn(batch, generator=generator, device=generator.device).to(device)
        level = ((self.magnitude + self.spread * noise) / LEVELS).clamp(0, 1)
        return chosen, torch.where(negative, -level, level)


def in_bytes(images: Tensor, augment: Callable[[Tensor], Tensor]) -> Tensor:
    """What `augment` makes of bytes, for images of bytes or of floats from 0 to 1."""
    if images.is_floating_point():
        whole_levels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
        return augment(whole_levels).to(images.dtype) / 255
    return augment(images)


def apply(operations: Mapping[str, Operation], images: Tensor, chosen: Tensor, level: Tensor) -> None:
    """Let the operation of number `chosen` (B,) act on each image with its level (B,), in place."""
    for number, operation in enumerate(operations.values()):
        which = torch.nonzero(chosen == number).squeeze(1)
        if len(which):
            images[which] = operation(images[which], level[which])


def operations(fill: int = 0) -> dict[str, Operation]:
    """The fourteen operations by name, in the order in which they are drawn."""
    return {
        "identity": lambda images, level: images,
        "autocontrast": lambda images, level: pixels.stretch(images),
        "equalise": lambda images, level: pixels.equalise(images),
        "rotate": partial(_rotate, fill=fill),
        "solarise": lambda images, level: pixels.solarise(images, 256 * (1 - level.abs())),
        "colour": lambda images, level: pixels.saturate(images, 1 + 0.9 * level),
        "posterise": lambda images, level: pixels.posterise(images, 8 - (4 * level.abs()).round()),
        "contrast": lambda images, level: pixels.contrast(images, 1 + 0.9 * level),
        "brightness": lambda images, level: pixels.brighten(images, 1 + 0.9 * level),
        "sharpness": lambda images, level: pixels.sharpen(images, 1 + 0.9 * level),
        "shear_x": partial(_shear, axis=0, fill=fill),
        "shear_y": partial(_shear, axis=1, fill=fill),
        "translate_x": partial(_translate, axis=0, fill=fill),
        "translate_y": partial(_translate, axis=1, fill=fill),
    }


def _rotate(images: Tensor, level: Tensor, fill: int) -> Tensor:
    angle = level.double() * math.radians(30)
    cosine, sine = angle.cos(), angle.sin()
    linear = torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], 1)
    # about the centre of the image
    height, width = images.shape[2:]
    centre = torch.tensor([width / 2, height / 2], dtype=torch.float64, device=images.device)
    return pixels.warp(images, torch.cat([linear, (centre - linear @ centre)[..., None]], -1), fill)


def _shear(images: Tensor, level: Tensor, axis: int, fill: int) -> Tensor:
    matrix = _identity(images)
    matrix[:, axis, 1 - axis] = 0.3 * level.double()
    return pixels.warp(images, matrix, fill)


def _translate(images: Tensor, level: Tensor, axis: int, fill: int) -> Tensor:
    matrix = _identity(images)
    # 150 pixels of 331 at the most
    matrix[:, axis, 2] = (level.double() * (150 / 331) * images.shape[3 - axis]).round()
    return pixels.warp(images, matrix, fill)


def _identity(images: Tensor) -> Tensor:
    return torch.eye(2, 3, dtype=torch.float64, device=images.device).repeat(len(images), 1, 1)
