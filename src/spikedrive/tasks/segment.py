"""Segmentation of every frame: cross-entropy a pixel, and the intersection over the union of each class."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from spikedrive.errors import ShapeError


def loss(logits: Tensor, masks: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean cross-entropy over all pixels of all frames, weighted by their true classes where `weights` are given.

    *Shapes*: logits (T, B, K, H, W), masks (T, B, H, W) int64, weights (K,) -> ().
    *Units*: nats a pixel.
    *Raises*: ShapeError.
    """
    _check(logits, masks)
    return F.cross_entropy(logits.flatten(0, 1), masks.flatten(0, 1), weights)


def class_weights(masks: Tensor, classes: int, balance: float) -> Tensor:
    """Weights by which rare classes count more: (share of the pixels) ** -balance, so that 1 makes all classes equal
    and 0 all pixels; a class that is nowhere has the weight 0.

    *Shapes*: masks (...) of integers -> (classes,) float32, with a mean of 1 over the pixels.

    >>> import torch
    >>> class_weights(torch.tensor([0, 0, 0, 1]), 2, 1.0).tolist()
    [0.6666666865348816, 2.0]
    """
    shares = masks.flatten().long().bincount(minlength=classes).double() / masks.numel()
    weights = torch.where(shares > 0, shares.clamp(min=1e-12) ** -balance, 0.0)
    return (weights / (weights * shares).sum()).float()


def confusion(logits: Tensor, masks: Tensor) -> Tensor:
    """How many pixels of each true class were given each class.

    *Shapes*: logits (T, B, K, H, W), masks (T, B, H, W) int64 -> (K, K) int64, true class by given one.
    *Raises*: ShapeError.
    """
    _check(logits, masks)
    classes = logits.shape[2]
    given = logits.detach().argmax(2)
    return (classes * masks + given).flatten().bincount(minlength=classes**2).view(classes, classes)


def intersections_over_unions(counts: Tensor) -> Tensor:
    """For each class the pixels that are it and were given it, over those that are it or were given it.

    *Shapes*: counts (K, K) -> (K,) float64; NaN for a class that neither is there nor was given.

    >>> import torch
    >>> intersections_over_unions(torch.tensor([[6, 2], [1, 1]])).tolist()
    [0.6666666666666666, 0.25]
    """
    hits = counts.diagonal().double()
    return hits / (counts.sum(0) + counts.sum(1) - hits)


def mean_iou(counts: Tensor) -> float:
    """The mean over the classes that are there or were given (mIoU), 0 to 1.

    *Shapes*: counts (K, K), of all pixels that are judged: the mean of several sets' is another number.
    """
    return float(intersections_over_unions(counts).nanmean())


def _check(logits: Tensor, masks: Tensor) -> None:
    if logits.dim() != 5 or masks.shape != (*logits.shape[:2], *logits.shape[3:]):
        raise ShapeError(
            f"Segmentation got logits of shape {tuple(logits.shape)} and masks of {tuple(masks.shape)}; it takes "
            "(T, B, K, H, W) and (T, B, H, W). Give masks of the frames' own size."
        )
