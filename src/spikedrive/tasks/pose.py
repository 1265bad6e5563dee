"""Key points of every frame: the mean distance, and the share of those that lie near enough."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from spikedrive.errors import ShapeError
from spikedrive.neurons.neuron import check_number

RADIUS = 2 / 32
"""How far a point may be off to count as found, as a share of the frame's side: two pixels of 32."""


def loss(points: Tensor, targets: Tensor) -> Tensor:
    """The mean absolute difference of all coordinates.

    *Shapes*: both (T, B, K, 2) -> ().
    *Units*: shares of the frame's sides.
    *Raises*: ShapeError.
    """
    _check(points, targets)
    return F.l1_loss(points, targets)


def distances(points: Tensor, targets: Tensor) -> Tensor:
    """From each point to where it should be.

    *Shapes*: both (T, B, K, 2) -> (T, B, K).
    *Units*: shares of the side of a square frame; multiply by its pixels.
    *Raises*: ShapeError.
    """
    _check(points, targets)
    return (points.detach() - targets).square().sum(-1).sqrt()


def found(points: Tensor, targets: Tensor, radius: float = RADIUS) -> Tensor:
    """Which points lie within `radius` of where they should be; their share is the PCK.

    *Shapes*: both (T, B, K, 2) -> (T, B, K) bool.
    *Raises*: ShapeError; ConfigError for a radius of zero or less.
    """
    check_number("pose.found", "radius", radius, above=0)
    return distances(points, targets) <= radius


def _check(points: Tensor, targets: Tensor) -> None:
    if points.shape != targets.shape or points.dim() != 4 or points.shape[-1] != 2:
        raise ShapeError(
            f"Pose got points of shape {tuple(points.shape)} and targets of {tuple(targets.shape)}; it takes both as "
            "(T, B, K, 2). Give one (x, y) for each point of each frame."
        )
