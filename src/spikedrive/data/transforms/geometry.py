"""Crop, flip and erase, each image of the batch on its own."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from spikedrive.data.transforms.checks import check_images, check_share, uniform, whole
from spikedrive.errors import ConfigError


@final
class RandomCrop:
    """Each image shifted by up to `padding` pixels either way, the border filled with `fill`.

    Shapes: images (B, C, H, W) -> (B, C, H, W) of the same dtype.
    """

    def __init__(self, padding: int, *, fill: float = 0.0) -> None:
        if padding < 0:
            raise ConfigError(f"RandomCrop got padding={padding}; it takes pixels of at least 0. Correct it.")
        self.padding, self.fill = padding, fill

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The cropped images."""
        check_images(images, type(self).__name__)
        corners = whole(2 * self.padding + 1, (2, len(images)), generator, images.device)
        return crop(images, corners[0], corners[1], self.padding, self.fill)


@final
class RandomHorizontalFlip:
    """Each image mirrored left to right with `probability`.

    Shapes: images (B, C, H, W) -> (B, C, H, W) of the same dtype.
    """

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = check_share(probability, "RandomHorizontalFlip got probability")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The images, some of them mirrored."""
        check_images(images, type(self).__name__)
        mirrored = uniform((len(images),), generator, images.device) < self.probability
        return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


@final
class RandomErase:
    """One rectangle of each image replaced by `fill` or by noise, with `probability`.

    The rectangle has a share of the image's area drawn from `area` and a ratio of height to width
    drawn log-uniformly from `ratio`. Noise is uniform over 0 to 255 for bytes and standard normal
    for floats.

    Shapes: images (B, C, H, W) -> (B, C, H, W) of the same dtype.
    Source: Zhong et al., arXiv:1708.04896, algorithm 1. A rectangle that does not fit is cut to the
    image, where the paper draws again: so the number of draws does not depend on the values.
    """

    def __init__(
        self,
        probability: float = 0.25,
        *,
        area: tuple[float, float] = (0.02, 1 / 3),
        ratio: tuple[float, float] = (0.3, 10 / 3),
        fill: float | None = 0.0,
    ) -> None:
        self.probability = check_share(probability, "RandomErase got probability")
        if not 0 < area[0] <= area[1] <= 1 or not 0 < ratio[0] <= ratio[1]:
            raise ConfigError(
                f"RandomErase got area={area}, ratio={ratio}; it takes two rising shares of at most 1 and two rising "
                "positive ratios. Correct them."
            )
        self.area, self.ratio, self.fill = area, ratio, fill

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The images, some of them with a hole."""
        check_images(images, type(self).__name__)
        drawn = uniform((5, len(images)), generator, torch.device("cpu"))
        boxes = self.boxes(drawn, images.shape[2], images.shape[3]).to(images.device)
        if self.fill is not None:
            return erase(images, boxes, self.fill)
        if images.is_floating_point():
            noise = torch.randn(images.shape, generator=generator, device=generator.device).to(images)
        else:
            noise = whole(256, tuple(images.shape), generator, images.device).to(images.dtype)
        return erase(images, boxes, noise)

    def boxes(self, drawn: Tensor, height: int, width: int) -> Tensor:
        """(top, bottom, left, right) of each rectangle from five uniform numbers each; empty where not erased.

        Shapes: drawn (5, B) in [0, 1) -> (4, B) int64.
        """
        area = (self.area[0] + drawn[1] * (self.area[1] - self.area[0])) * (height * width)
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = torch.exp(low + drawn[2] * (high - low))
        erased = drawn[0] < self.probability
        tall = ((area * ratio).sqrt().round().clamp(1, height)).long() * erased
        wide = ((area / ratio).sqrt().round().clamp(1, width)).long() * erased
        top, left = (drawn[3] * (height - tall + 1)).long(), (drawn[4] * (width - wide + 1)).long()
        return torch.stack([top, top + tall, left, left + wide])


def crop(images: Tensor, top: Tensor, left: Tensor, padding: int, fill: float = 0.0) -> Tensor:
    """The window at (top, left) of each padded image.

    Shapes: images (B, C, H, W), top and left (B,) in 0 .. 2 padding -> (B, C, H, W).
    """
    height, width = images.shape[2:]
    padded = F.pad(images, (padding,) * 4, value=fill)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(len(images), device=images.device), :, top, left]


def erase(images: Tensor, boxes: Tensor, fill: float | Tensor) -> Tensor:
    """The images with `fill` inside each box.

    Shapes: images (B, C, H, W), boxes (4, B) of top, bottom, left, right; fill a number or like images.
    """
    top, bottom, left, right = boxes[:, :, None]
    rows = torch.arange(images.shape[2], device=images.device)
    columns = torch.arange(images.shape[3], device=images.device)
    inside = ((rows >= top) & (rows < bottom))[:, :, None] & ((columns >= left) & (columns < right))[
        :, None, :
    ]
    if isinstance(fill, Tensor):
        return torch.where(inside[:, None], fill, images)
    return images.masked_fill(inside[:, None], fill)
