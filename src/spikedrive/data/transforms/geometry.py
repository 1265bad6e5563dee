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
class RandomResizedCrop:
    """One rectangle of each image, resized to `size` x `size`.

    The rectangle has a share of the image's area drawn from `area` and a ratio of width to height drawn log-uniformly
    from `ratio`. Training loads the images as squares of `source` pixels (`size` where it is None), so that a small
    rectangle still shows detail.

    Shapes: images (B, C, H, W) -> (B, C, size, size) of the same dtype.
    Source: Szegedy et al., arXiv:1409.4842, section 6; bicubic and smoothed where it shrinks. A rectangle that does
    not fit is cut to the image, where others draw again: so the number of draws does not depend on the values.
    """

    def __init__(
        self,
        size: int,
        *,
        source: int | None = None,
        area: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        check_rectangles(area, ratio, type(self).__name__)
        if size < 1 or (source is not None and source < 1):
            raise ConfigError(
                f"RandomResizedCrop got size={size}, source={source}; it takes pixels of at least 1. Correct them."
            )
        self.size, self.source, self.area, self.ratio = size, source, area, ratio

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The rectangles."""
        check_images(images, type(self).__name__)
        drawn = uniform((4, len(images)), generator, torch.device("cpu"))
        boxes = rectangles(drawn, images.shape[2], images.shape[3], self.area, self.ratio)
        out = images.new_empty(*images.shape[:2], self.size, self.size)
        for image, row, (top, bottom, left, right) in zip(images, out, boxes.T.tolist(), strict=True):
            part = image[None, :, top:bottom, left:right]
            work = part if part.is_floating_point() else part.float()
            resized = F.interpolate(work, (self.size, self.size), mode="bicubic", antialias=True)[0]
            row.copy_(resized if part.is_floating_point() else resized.round().clamp(0, 255))
        return out


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
        check_rectangles(area, ratio, type(self).__name__)
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
        erased = drawn[0] < self.probability
        # a ratio of height to width: the image on its side
        left, right, top, bottom = rectangles(drawn[[1, 2, 4, 3]], width, height, self.area, self.ratio)
        return torch.stack([top, bottom, left, right]) * erased


def rectangles(
    drawn: Tensor, height: int, width: int, area: tuple[float, float], ratio: tuple[float, float]
) -> Tensor:
    """(top, bottom, left, right) of a rectangle an image from four uniform numbers each.

    Shapes: drawn (4, B) in [0, 1) -> (4, B) int64.
    """
    pixels = (area[0] + drawn[0] * (area[1] - area[0])) * (height * width)
    low, high = math.log(ratio[0]), math.log(ratio[1])
    wider = torch.exp(low + drawn[1] * (high - low))
    tall = (pixels / wider).sqrt().round().clamp(1, height).long()
    wide = (pixels * wider).sqrt().round().clamp(1, width).long()
    top, left = (drawn[2] * (height - tall + 1)).long(), (drawn[3] * (width - wide + 1)).long()
    return torch.stack([top, top + tall, left, left + wide])


def check_rectangles(area: tuple[float, float], ratio: tuple[float, float], who: str) -> None:
    """Raises: ConfigError for shares or ratios that do not rise or are out of range."""
    if not 0 < area[0] <= area[1] <= 1 or not 0 < ratio[0] <= ratio[1]:
        raise ConfigError(
            f"{who} got area={area}, ratio={ratio}; it takes two rising shares of at most 1 and two rising "
            "positive ratios. Correct them."
        )


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
