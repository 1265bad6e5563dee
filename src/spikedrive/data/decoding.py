"""PNG and JPEG files to arrays, with Pillow and NumPy alone: the runtime reads pictures without torch."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from spikedrive.data.size import Size, check_channels, cover, height_width
from spikedrive.errors import DataError

_FORMATS = ("PNG", "JPEG")
_GRAY = ("1", "L", "LA", "I", "I;16", "I;16B")


def decode(path: str | os.PathLike[str], size: Size | None = None, channels: int | None = None) -> np.ndarray:
    """`read_image` as a NumPy array.

    A photograph is turned upright as its camera noted, 16-bit gray becomes 8-bit by dropping the
    low byte, and an alpha channel is dropped.
    """
    check_channels(channels)
    try:
        with Image.open(path, formats=_FORMATS) as image:
            # a JPEG decodes at the nearest larger of its eighths, which saves most of the time for photographs
            if size is not None:
                image.draft(None, _draft(image, height_width(size)))
            return _pixels(image, size, channels)
    except FileNotFoundError as error:
        raise DataError(
            f"{path} does not exist; the path of a PNG or JPEG file is needed. Check the path."
        ) from error
    except IsADirectoryError as error:
        raise DataError(
            f"{path} is a folder; the path of a PNG or JPEG file is needed. Name a file in it."
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{path} is no PNG or JPEG image, or damaged at its start; only these two are read. Convert or remove it."
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path} is a damaged image ({error}); a whole PNG or JPEG file is needed. Replace or remove it."
        ) from error


def _draft(image: Image.Image, target: tuple[int, int]) -> tuple[int, int]:
    # the camera's note may exchange the sides, so both must be large enough either way
    height, width = cover(image.height, image.width, (max(target), max(target)))
    return width, height


def _pixels(image: Image.Image, size: Size | None, channels: int | None) -> np.ndarray:
    gray = image.mode in _GRAY
    picture = ImageOps.exif_transpose(image)
    if picture.mode.startswith("I"):
        picture = Image.fromarray((np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    elif picture.mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    picture = picture.convert("L" if (channels or (1 if gray else 3)) == 1 else "RGB")
    if size is not None and height_width(size) != (picture.height, picture.width):
        target = height_width(size)
        height, width = cover(picture.height, picture.width, target)
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - target[1]) // 2, (height - target[0]) // 2
        picture = picture.crop((left, top, left + target[1], top + target[0]))
    array = np.array(picture)
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))
