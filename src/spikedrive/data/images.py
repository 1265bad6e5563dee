"""Labelled images in memory or on disk, with one face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from spikedrive.data.seeds import generator
from spikedrive.errors import ConfigError, DataError, DtypeError, ShapeError


class LazyImages(Protocol):
    """Images that are read when asked for; indexing gives uint8 (n, C, H, W) like a tensor does."""

    @property
    def shape(self) -> torch.Size: ...

    def __len__(self) -> int: ...

    def __getitem__(self, which: Tensor | slice) -> Tensor: ...

    def subset(self, indices: Tensor) -> LazyImages: ...


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images, the class of each, and the names of the classes.

    `images[which]` gives uint8 (n, C, H, W) for a slice or a tensor of indices, whether the images
    lie in memory or are files read on demand.

    Shapes: images (N, C, H, W) uint8, labels (N,) int64, class_names K strings.
    Raises: ShapeError, DtypeError or DataError for parts that do not fit together.

    >>> pair = ImageSet(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]), ("cat", "dog"))
    >>> len(pair), pair.shape, pair.class_names[1]
    (2, (1, 4, 4), 'dog')
    """

    images: Tensor | LazyImages
    labels: Tensor
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_images(self.images)
        _check_labels(self.labels, len(self.images), len(self.class_names))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def subset(self, indices: Tensor) -> ImageSet:
        """The images at `indices`, in that order."""
        images = self.images
        taken = images[indices] if isinstance(images, Tensor) else images.subset(indices)
        return ImageSet(taken, self.labels[indices], self.class_names)

    def split(self, fraction: float, seed: int = 0) -> tuple[ImageSet, ImageSet]:
        """Two disjoint parts, the second with `fraction` of every class (at least one image of two or more).

        Both keep the order of the whole; the same seed gives the same parts.

        Raises: ConfigError unless 0 <= fraction < 1.
        """
        held = hold_out(self.labels, len(self.class_names), fraction, seed)
        return self.subset(torch.nonzero(~held).squeeze(1)), self.subset(torch.nonzero(held).squeeze(1))

    def statistics(self, limit: int | None = None) -> tuple[list[float], list[float]]:
        """The mean and standard deviation of each channel, of pixels divided by 255.

        Reads at most `limit` images, evenly spaced: 20,000 in memory or 2,000 files by default. A
        constant channel gets a deviation of 1, so that dividing by it is safe.
        """
        limit = limit or (20_000 if isinstance(self.images, Tensor) else 2_000)
        step = max(1, -(-len(self) // limit))
        which = torch.arange(0, len(self), step)
        channels, height, width = self.shape
        total, squares = torch.zeros(channels, dtype=torch.int64), torch.zeros(channels, dtype=torch.int64)
        for part in which.split(256):
            pixels = self.images[part].to(torch.int64)
            total += pixels.sum((0, 2, 3))
            squares += (pixels * pixels).sum((0, 2, 3))
        count = max(len(which) * height * width, 1)
        mean = total.double() / count
        deviation = (squares.double() / count - mean * mean).clamp_min(0).sqrt() / 255
        deviation[deviation == 0] = 1.0
        return (mean / 255).tolist(), deviation.tolist()


def hold_out(labels: Tensor, classes: int, fraction: float, seed: int) -> Tensor:
    """Which samples are held out: `fraction` of every class, at least one sample of two or more.

    The same seed gives the same choice, and that of one class does not move when another grows.

    *Shapes*: labels (N,) int64 -> (N,) bool.
    *Raises*: ConfigError unless 0 <= fraction < 1.
    """
    if not 0.0 <= fraction < 1.0:
        raise ConfigError(
            f"split got fraction={fraction}; it takes the share of the second part, at least 0 and below 1. "
            "0.1 holds out every tenth image."
        )
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(classes):
        members = torch.nonzero(labels == label).squeeze(1)
        count = max(round(fraction * len(members)), 1) if fraction and len(members) > 1 else 0
        # a generator per class, so that a class's choice does not move when another class grows
        order = torch.randperm(len(members), generator=generator(seed, label))
        held[members[order[:count]]] = True
    return held


def _check_images(images: Tensor | LazyImages) -> None:
    if len(images.shape) != 4:
        raise ShapeError(
            f"ImageSet got images of shape {tuple(images.shape)}; it takes (N, C, H, W). "
            "Add the missing axis, e.g. images[:, None] for (N, H, W)."
        )
    if isinstance(images, Tensor) and images.dtype != torch.uint8:
        raise DtypeError(
            f"ImageSet got images of {images.dtype}; it takes torch.uint8 (0 to 255). "
            "Normalising comes later, in data.transforms.normalise."
        )


def _check_labels(labels: Tensor, images: int, classes: int) -> None:
    if labels.dtype != torch.int64:
        raise DtypeError(
            f"ImageSet got labels of {labels.dtype}; it takes torch.int64. Convert with labels.long()."
        )
    if labels.shape != (images,):
        raise ShapeError(
            f"ImageSet got {images} images and labels of shape {tuple(labels.shape)}; it takes one label an image, "
            f"({images},). Check that both come from the same split."
        )
    if images and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise DataError(
            f"The labels run from {int(labels.min())} to {int(labels.max())}; with {classes} classes they are out of "
            f"range, 0 to {classes - 1} is accepted. Renumber them from 0 or name all the classes."
        )
