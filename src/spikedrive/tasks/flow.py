"""Optical flow: how far a prediction is from the truth, where the truth is known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from spikedrive.errors import ShapeError

SMALLEST_COSINE = 1 - 1e-6
"""Beyond it the arc cosine's slope would explode."""
OUTLIER, OUTLIER_SHARE = 3.0, 0.05
"""An outlier is wrong by more than so many pixels, and by more than this share of the true length."""


def endpoint_error(flow: Tensor, target: Tensor) -> Tensor:
    """The distance between where a point went and where it was said to go.

    *Shapes*: flow and target (..., 2, H, W) -> (..., H, W).
    *Units*: those of the flow.
    *Raises*: ShapeError for unequal shapes.
    """
    if flow.shape != target.shape or flow.dim() < 3 or flow.shape[-3] != 2:
        raise ShapeError(
            f"endpoint_error got flow of shape {tuple(flow.shape)} and a target of {tuple(target.shape)}; it takes two "
            "of (..., 2, H, W). Give both of one size."
        )
    return (flow - target).norm(dim=-3)


def angular_error(flow: Tensor, target: Tensor) -> Tensor:
    """The angle between (u, v, 1) and the true one, so that a point at rest has a direction too.

    *Shapes*: flow and target (..., 2, H, W) -> (..., H, W).
    *Units*: radians.
    *Source*: Barron et al., IJCV 1994.
    """
    dot = (flow * target).sum(-3) + 1
    lengths = ((flow.square().sum(-3) + 1) * (target.square().sum(-3) + 1)).sqrt()
    return (dot / lengths).clamp(-SMALLEST_COSINE, SMALLEST_COSINE).acos()


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean where the mask is true, 0 where it is so nowhere.

    >>> masked_mean(torch.tensor([1.0, 5.0]), torch.tensor([True, False])).item()
    1.0
    """
    return (values * mask).sum() / mask.sum().clamp(min=1)


def loss(scales: Sequence[Tensor], target: Tensor, mask: Tensor, *, angle: float = 0.0) -> Tensor:
    """The mean over the scales of the endpoint error, and of `angle` times the angular error, where the mask is true.

    *Shapes*: each scale and the target (T, B, 2, H, W), mask (T, B, H, W).
    *Units*: pixels, and radians times `angle`.
    """
    total = target.new_zeros(())
    for flow in scales:
        total = total + masked_mean(endpoint_error(flow, target), mask)
        if angle:
            total = total + angle * masked_mean(angular_error(flow, target), mask)
    return total / len(scales)


def figures(flow: Tensor, target: Tensor, mask: Tensor) -> dict[str, float]:
    """Sums over the places where the mask is true, for `averages`: places, endpoint and angular error, outliers, and
    the length of the true flow, which is the error of an answer of zero.
    """
    error = endpoint_error(flow, target)
    length = target.norm(dim=-3)
    wrong = (error > OUTLIER) & (error > OUTLIER_SHARE * length)
    sums = {
        "places": mask, "aee": error * mask, "angle": angular_error(flow, target) * mask, "outliers": wrong & mask,
        "still": length * mask,
    }  # fmt: skip
    return {name: float(values.double().sum()) for name, values in sums.items()}


def averages(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """What `figures` of all batches come to: `aee` in pixels per step, `angle` in degrees, `outliers` as a share,
    `still` in pixels, and the number of `places`.
    """
    total = {name: sum(part[name] for part in found) for name in found[0]}
    places = max(1.0, total["places"])
    degrees = torch.rad2deg(torch.tensor(total["angle"] / places, dtype=torch.float64)).item()
    return {
        "aee": total["aee"] / places, "angle": degrees, "outliers": total["outliers"] / places,
        "still": total["still"] / places, "places": total["places"],
    }  # fmt: skip
