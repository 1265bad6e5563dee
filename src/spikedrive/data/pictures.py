"""PNG and JPEG files to pixels, one by one or on demand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from spikedrive.data.decoding import decode
from spikedrive.data.size import Size
from spikedrive.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg")
CACHE_BYTES = 2**30
"""Decoded images are kept in memory when all of them take less than this."""


def read_image(path: str | os.PathLike[str], size: Size | None = None, channels: int | None = None) -> Tensor:
    """One PNG or JPEG file, its short side scaled and its centre cut out to `size`.

    Shapes: -> (C, H, W) uint8; C is 1 for gray and 3 for colour, or `channels`.
    Raises: DataError for a file that is missing, damaged or of another type.
    """
    return torch.from_numpy(decode(path, size, channels))


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
