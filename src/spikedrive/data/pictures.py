"""PNG and JPEG files to pixels, one by one or on demand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from spikedrive.data.fit import Size, check_channels, cover, height_width
from spikedrive.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg")
CACHE_BYTES = 2**30
"""Decoded images are kept in memory when all of them take less than this."""
_FORMATS = ("PNG", "JPEG")
_GRAY = ("1", "L", "LA", "I", "I;16", "I;16B")


def read_image(path: str | os.PathLike[str], size: Size | None = None, channels: int | None = None) -> Tensor:
    """One PNG or JPEG file, its short side scaled and its centre cut out to `size`.

    Shapes: -> (C, H, W) uint8; C is 1 for gray and 3 for colour, or `channels`.
    Raises: DataError for a file that is missing, damaged or of another type.
    """
    return torch.from_numpy(decode(path, size, channels))


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


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images that are decoded when asked for, and kept when all of them together are small.

    Shapes: indexing with a slice or indices (n,) gives uint8 (n, C, H, W).
    """

    paths: Sequence[Path]
    size: tuple[int, int]
    channels: int
    resize: bool = True
    """Whether files of another size are scaled, or refused."""
    colour: bool = True
    """Whether colour files are accepted (and turned gray where channels is 1)."""
    cache_bytes: int = CACHE_BYTES
    _chosen: Tensor | None = None
    _cache: dict[int, Tensor] = field(default_factory=dict, repr=False)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), self.channels, *self.size))

    def __len__(self) -> int:
        return len(self.paths) if self._chosen is None else len(self._chosen)

    def __getitem__(self, which: Tensor | slice) -> Tensor:
        files = self._files(which).tolist()
        out = torch.empty(len(files), self.channels, *self.size, dtype=torch.uint8)
        missing = [file for file in files if file not in self._cache]
        # Pillow decodes outside Python's lock
        with ThreadPoolExecutor(max(1, min(len(missing), os.cpu_count() or 1))) as pool:
            decoded = dict(zip(missing, pool.map(self._read, missing), strict=True))
        for row, file in enumerate(files):
            out[row] = decoded[file] if file in decoded else self._cache[file]
        return out

    def subset(self, indices: Tensor) -> ImageFiles:
        """The files at `indices`; what is decoded already is shared."""
        chosen = self._files(indices)
        return ImageFiles(
            self.paths,
            self.size,
            self.channels,
            self.resize,
            self.colour,
            self.cache_bytes,
            chosen,
            self._cache,
        )

    def _files(self, which: Tensor | slice) -> Tensor:
        return (torch.arange(len(self.paths)) if self._chosen is None else self._chosen)[which]

    def _read(self, file: int) -> Tensor:
        path = self.paths[file]
        image = read_image(path, self.size if self.resize else None, self.channels if self.colour else None)
        if image.shape != (self.channels, *self.size):
            raise DataError(
                f"{path} is {tuple(image.shape)} (C, H, W), and the first image is {(self.channels, *self.size)}; "
                "without size and channels all must be alike. Give size= and channels=."
            )
        if len(self.paths) * image.numel() <= self.cache_bytes:
            self._cache[file] = image
        return image


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
