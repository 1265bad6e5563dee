"""Images in memory, brought to a size and a number of channels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from spikedrive.data.size import Size, check_channels, cover, height_width


def fit(images: Tensor, size: Size | None, channels: int | None) -> Tensor:
    """Images resized (short side first, then the centre) and converted between gray and colour.

    Gray is the luma of ITU-R 601, with the rounding that Pillow uses; colour repeats gray.

    Shapes: images (N, C, H, W) uint8 -> (N, channels, *size) uint8.
    """
    check_channels(channels)
    if channels == 1 and images.shape[1] == 3:
        red, green, blue = images.to(torch.int32).unbind(1)
        images = ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).to(torch.uint8)[:, None]
    elif channels == 3 and images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1).contiguous()
    if size is None or height_width(size) == tuple(images.shape[2:]):
        return images
    return torch.cat([_resize(part, height_width(size)) for part in images.split(512)])


def _resize(images: Tensor, target: tuple[int, int]) -> Tensor:
    height, width = cover(images.shape[2], images.shape[3], target)
    larger = F.interpolate(images.float(), size=(height, width), mode="bilinear", antialias=True)
    top, left = (height - target[0]) // 2, (width - target[1]) // 2
    return larger[:, :, top : top + target[0], left : left + target[1]].round().clamp(0, 255).to(torch.uint8)
