"""Two images and their targets made into one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from spikedrive.data.transforms.checks import check_images, check_share, uniform, whole
from spikedrive.errors import ConfigError, DataError, DtypeError, ShapeError

Mixing = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""`m(images, targets, generator) -> (images, targets)`, with targets (B, K) that sum to 1."""


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Targets that mixing can weigh.

    Shapes: labels (B,) int64 -> (B, classes) float32.
    Raises: DataError for a label outside 0 .. classes - 1.

    >>> one_hot(torch.tensor([1]), 3)
    tensor([[0., 1., 0.]])
    """
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise DataError(
            f"one_hot got labels from {int(labels.min())} to {int(labels.max())} for {classes} classes; "
            f"0 to {classes - 1} is accepted. Check the number of classes."
        )
    return F.one_hot(labels, classes).float()


@final
class Mixup:
    """Each image blended with another of the batch, one weight for all, with `probability`.

    Equation: x = w x_i + (1 - w) x_j, targets alike, w ~ Beta(alpha, alpha). Bytes are rounded.
    Shapes: images (B, C, H, W), targets (B, K) -> the same.
    Source: Zhang et al., arXiv:1710.09412, equation 1.
    """

    def __init__(self, alpha: float = 0.2, probability: float = 1.0) -> None:
        self.alpha = check_alpha(alpha, type(self).__name__)
        self.probability = check_share(probability, "Mixup got probability")

    def __call__(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The blended images and targets."""
        _check_pairs(images, targets, type(self).__name__)
        partner, weight, applied = draw_mix(len(images), self.alpha, self.probability, generator)
        return mixup(images, targets, partner.to(images.device), weight) if applied else (images, targets)


@final
class CutMix:
    """One rectangle of each image taken from another of the batch, the same for all, with `probability`.

    The targets are weighed by the area that is really exchanged, after the rectangle is cut to the image.

    Shapes: images (B, C, H, W), targets (B, K) -> the same.
    Source: Yun et al., arXiv:1905.04899, equations 1 and 2.
    """

    def __init__(self, alpha: float = 1.0, probability: float = 1.0) -> None:
        self.alpha = check_alpha(alpha, type(self).__name__)
        self.probability = check_share(probability, "CutMix got probability")

    def __call__(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The images with an exchanged rectangle, and the weighed targets."""
        _check_pairs(images, targets, type(self).__name__)
        partner, weight, applied = draw_mix(len(images), self.alpha, self.probability, generator)
        centre = uniform((2,), generator, torch.device("cpu")).tolist()
        box = rectangle(weight, (centre[0], centre[1]), images.shape[2], images.shape[3])
        return cutmix(images, targets, partner.to(images.device), box) if applied else (images, targets)


@final
class OneOf:
    """For each batch one of several mixings, all equally likely.

    Shapes: images (B, C, H, W), targets (B, K) -> the same.
    """

    def __init__(self, mixings: Sequence[Mixing]) -> None:
        if not mixings:
            raise ConfigError("OneOf got no mixings; it takes at least one. Name them, or leave mixing out.")
        self.mixings = tuple(mixings)

    def __call__(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """What the mixing that was drawn gives."""
        chosen = int(whole(len(self.mixings), (1,), generator, torch.device("cpu")))
        return self.mixings[chosen](images, targets, generator)


def mixup(images: Tensor, targets: Tensor, partner: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """`weight` of each image and target and the rest of its partner's.

    Shapes: images (B, C, H, W), targets (B, K), partner (B,) indices.
    """
    work = images if images.is_floating_point() else images.float()
    blended = torch.lerp(work[partner], work, weight)
    if not images.is_floating_point():
        blended = blended.round().to(images.dtype)
    return blended, torch.lerp(targets[partner], targets, weight)


def cutmix(
    images: Tensor, targets: Tensor, partner: Tensor, box: tuple[int, int, int, int]
) -> tuple[Tensor, Tensor]:
    """Each image with its partner's pixels inside `box` (top, bottom, left, right).

    Shapes: images (B, C, H, W), targets (B, K), partner (B,) indices.
    """
    top, bottom, left, right = box
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[partner][:, :, top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / (images.shape[2] * images.shape[3])
    return mixed, torch.lerp(targets[partner], targets, kept)


def rectangle(
    weight: float, centre: tuple[float, float], height: int, width: int
) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of the part 1 - `weight` of an image around `centre`, cut to the image.

    >>> rectangle(0.75, (0.5, 0.5), 28, 28)
    (7, 21, 7, 21)
    """
    tall, wide = ((1 - weight) ** 0.5 * side for side in (height, width))
    top, left = centre[0] * height - tall / 2, centre[1] * width - wide / 2
    rows = (max(round(top), 0), min(round(top + tall), height))
    columns = (max(round(left), 0), min(round(left + wide), width))
    return rows[0], max(rows), columns[0], max(columns)


def draw_mix(
    batch: int, alpha: float, probability: float, generator: torch.Generator
) -> tuple[Tensor, float, bool]:
    """Each one's partner, the weight of all from Beta(alpha, alpha), and whether they are mixed at all.

    *Shapes*: partner (B,) indices.
    """
    # the same draws whether it applies or not, so that later transforms do not depend on the coin
    applied = float(uniform((1,), generator, torch.device("cpu"))) < probability
    partner = torch.randperm(batch, generator=generator, device=generator.device)
    # torch's Beta takes no generator; NumPy's does, seeded from ours
    seed = int(whole(2**62, (1,), generator, torch.device("cpu")))
    return partner, float(np.random.Generator(np.random.PCG64(seed)).beta(alpha, alpha)), applied


def check_alpha(alpha: float, who: str) -> float:
    """The number itself.

    *Raises*: ConfigError unless it is above 0.
    """
    if not alpha > 0:
        raise ConfigError(
            f"{who} got alpha={alpha}; it takes a number above 0. To turn it off, leave it out."
        )
    return alpha


def _check_pairs(images: Tensor, targets: Tensor, who: str) -> None:
    check_images(images, who)
    if targets.dim() != 2 or len(targets) != len(images):
        raise ShapeError(
            f"{who} got targets of shape {tuple(targets.shape)} for {len(images)} images; it takes (B, K), one row an "
            "image. Make them with one_hot(labels, classes)."
        )
    if not targets.is_floating_point():
        raise DtypeError(f"{who} got targets of {targets.dtype}; it takes floats. Make them with one_hot.")
