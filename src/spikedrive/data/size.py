"""Sizes of pictures: checked, and how a picture covers one."""

from __future__ import annotations

from spikedrive.errors import ConfigError

Size = int | tuple[int, int]
"""Height and width in pixels; one number means a square."""


def height_width(size: Size) -> tuple[int, int]:
    """(H, W) of a size.

    Raises: ConfigError unless both are whole numbers of at least 1.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ConfigError(f"size is {size}; it takes pixels of at least 1, as 224 or (224, 320). Correct it.")
    return height, width


def check_channels(channels: int | None) -> None:
    """Raises: ConfigError unless `channels` is 1 (gray), 3 (colour) or None."""
    if channels not in (None, 1, 3):
        raise ConfigError(
            f"channels is {channels}; it takes 1 (gray), 3 (colour) or None (as they are). Correct it."
        )


def cover(height: int, width: int, target: tuple[int, int]) -> tuple[int, int]:
    """The smallest (H, W) of the same shape that covers the target; the rest is cropped.

    >>> cover(100, 200, (50, 50)), cover(28, 28, (32, 32))
    ((50, 100), (32, 32))
    """
    scale = max(target[0] / height, target[1] / width)
    return max(round(height * scale), target[0]), max(round(width * scale), target[1])
