"""Operations on bytes, each image with its own strength; Pillow's results, in batches.

Shapes: images (B, C, H, W) uint8 and a strength (B,) -> (B, C, H, W) uint8, in every function.
Source: the definitions in the documentation of Pillow's ImageOps and ImageEnhance; tested against it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def solarise(images: Tensor, threshold: Tensor) -> Tensor:
    """Pixels of at least `threshold` turned to their negative."""
    return torch.where(images >= _each(threshold), 255 - images, images)


def posterise(images: Tensor, bits: Tensor) -> Tensor:
    """Only the highest `bits` (1 to 8) of each pixel."""
    return images & _each(256 - 2 ** (8 - bits.long())).to(torch.uint8)


def brighten(images: Tensor, factor: Tensor) -> Tensor:
    """A blend with black: 0 gives black, 1 the image."""
    return _blend(torch.zeros_like(images), images, factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """A blend with the mean gray: 0 gives gray, 1 the image."""
    mean = (gray(images).double().mean((1, 2, 3)) + 0.5).floor()
    return _blend(_each(mean).to(torch.uint8).expand_as(images), images, factor)


def saturate(images: Tensor, factor: Tensor) -> Tensor:
    """A blend with the gray image: 0 gives gray, 1 the image."""
    return _blend(gray(images).expand_as(images), images, factor)


def sharpen(images: Tensor, factor: Tensor) -> Tensor:
    """A blend with the smoothed image: 0 gives smooth, 1 the image. The outermost pixels stay."""
    if min(images.shape[2:]) < 3:
        return images
    # 1 1 1 / 1 5 1 / 1 1 1 over 13, rounded, in whole numbers: the same on every machine
    work = images.to(torch.int32)
    rows = work[:, :, :-2] + work[:, :, 1:-1] + work[:, :, 2:]
    square = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * work[:, :, 1:-1, 1:-1]
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = ((2 * square + 13) // 26).to(torch.uint8)
    return _blend(smooth, images, factor)


def stretch(images: Tensor) -> Tensor:
    """Autocontrast: the darkest pixel of each channel becomes 0 and the brightest 255.

    In whole numbers, where Pillow's floats lose one level now and then.
    """
    if not images.numel():
        return images
    low, high = images.amin((2, 3)).long()[..., None], images.amax((2, 3)).long()[..., None]
    levels = torch.arange(256, device=images.device)
    table = (levels - low).clamp_min(0) * 255 // (high - low).clamp_min(1)
    return _look_up(images, torch.where(high > low, table.clamp_max(255), levels))


def equalise(images: Tensor) -> Tensor:
    """The levels of each channel spread so that all occur about equally often."""
    batch, channels = images.shape[:2]
    rows = torch.arange(batch * channels, device=images.device)[:, None] * 256
    flat = images.reshape(batch * channels, -1).long()
    counts = torch.bincount((flat + rows).flatten(), minlength=batch * channels * 256).reshape(
        batch, channels, 256
    )
    total, present = counts.sum(-1), counts > 0
    highest = 255 - present.flip(-1).int().argmax(-1)
    step = (total - counts.gather(-1, highest[..., None])[..., 0]) // 255
    below = counts.cumsum(-1) - counts
    spread = (step.clamp_min(1) // 2)[..., None] + below
    table = (spread // step.clamp_min(1)[..., None]).clamp_max(255)
    levels = torch.arange(256, device=images.device)
    # one level alone, or too few pixels to spread: as it is
    return _look_up(images, torch.where((step > 0)[..., None], table, levels))


def warp(images: Tensor, matrix: Tensor, fill: int = 0) -> Tensor:
    """The nearest source pixel of each pixel under an affine map; `fill` where it lies outside.

    Equation: (x', y') = (a x + b y + c, d x + e y + f) for the centre (x, y) of a pixel.
    Shapes: matrix (B, 2, 3) of [[a, b, c], [d, e, f]], from target to source.
    """
    batch, channels, height, width = images.shape
    matrix = matrix.double()
    ys, xs = torch.meshgrid(
        torch.arange(height, device=images.device, dtype=torch.float64) + 0.5,
        torch.arange(width, device=images.device, dtype=torch.float64) + 0.5,
        indexing="ij",
    )
    place = torch.stack([xs, ys, torch.ones_like(xs)]).reshape(3, -1)
    column, row = (matrix @ place).floor().long().unbind(1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    source = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1))[:, None].expand(-1, channels, -1)
    taken = images.reshape(batch, channels, -1).gather(2, source)
    return taken.masked_fill(~inside[:, None], fill).reshape(images.shape)


def gray(images: Tensor) -> Tensor:
    """The luma of ITU-R 601 as one channel; gray images as they are."""
    if images.shape[1] != 3:
        return images
    red, green, blue = images.to(torch.int32).unbind(1)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).to(torch.uint8)[:, None]


def _blend(base: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    # truncated as Pillow does, not rounded
    start = base.float()
    return (start + _each(factor).float() * (images.float() - start)).clamp(0, 255).to(torch.uint8)


def _look_up(images: Tensor, table: Tensor) -> Tensor:
    batch, channels = images.shape[:2]
    return table.to(torch.uint8).gather(2, images.reshape(batch, channels, -1).long()).reshape(images.shape)


def _each(strength: Tensor) -> Tensor:
    return strength[:, None, None, None]
