"""Groups of points that lie close together: farthest point sampling and nearest neighbours as one operation."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikedrive.errors import ShapeError

_library = torch.library.Library("spikedrive", "FRAGMENT")
_library.define(
    "group_points(Tensor points, int groups, int neighbours, int axes) -> (Tensor centres, Tensor members)"
)


def group_points(
    points: Float[Tensor, "B N D"], groups: int, neighbours: int, *, axes: int = 3
) -> tuple[Int[Tensor, "B M"], Int[Tensor, "B M K"]]:
    """Which points stand in the middle of `groups` groups, and the `neighbours` points nearest to each of these.

    Farthest point sampling: the first centre is the first point in order, each further one the point whose squared
    distance from the nearest centre so far is the largest. A group holds its centre's nearest points, itself
    included, nearest first. Distances are Euclidean over the first `axes` columns, in fp64; of equals the first in
    order is taken. The order is that of the columns, one after another, and not that of the rows: permuted points give
    the same groups.

    *Shapes*: points (B, N, D) -> (B, M), (B, M, K), places along N; M = groups, K = neighbours.
    *Raises*: ShapeError for fewer than M or K points, or another shape.
    *Source*: PointNet++ (arXiv 1706.02413).

    >>> centres, members = group_points(torch.tensor([[[0.0, 0, 0], [1, 0, 0], [5, 0, 0]]]), 2, 2)
    >>> centres.tolist(), members.tolist()
    ([[0, 2]], [[[0, 1], [2, 1]]])
    """
    if points.dim() != 3 or points.shape[2] < axes or min(groups, neighbours, axes) < 1:
        raise ShapeError(
            f"group_points got points of shape {tuple(points.shape)} for {groups} groups of {neighbours}; it takes "
            f"(B, N, D) with D of at least {axes}, and at least 1 of each. Change the shape."
        )
    if points.shape[1] < max(groups, neighbours):
        raise ShapeError(
            f"group_points got {points.shape[1]} points for {groups} groups of {neighbours}; it takes at least "
            "as many points as either. Sample more points, or ask for fewer."
        )
    centres, members = torch.ops.spikedrive.group_points(points.detach(), groups, neighbours, axes)
    return centres, members


def _forward(points: Tensor, groups: int, neighbours: int, axes: int) -> tuple[Tensor, Tensor]:
    order = _in_order(points)
    placed = points.gather(1, order[:, :, None].expand_as(points))[:, :, :axes].double()
    centres = _farthest(placed, groups)
    members = centres.new_empty(len(points), groups, neighbours)
    for sample in range(len(points)):
        near = _squared(placed[sample][None], placed[sample][centres[sample]][:, None])
        # stable, so that of equals the first in order is taken
        members[sample] = near.sort(dim=1, stable=True).indices[:, :neighbours]
    return order.gather(1, centres), order.gather(1, members.flatten(1)).view_as(members)


def _in_order(points: Tensor) -> Tensor:
    """Places (B, N) that sort the rows by the first column, equals by the second, and so on."""
    order = torch.arange(points.shape[1], device=points.device).expand(points.shape[:2])
    for column in reversed(range(points.shape[2])):
        order = order.gather(1, points[:, :, column].gather(1, order).argsort(dim=1, stable=True))
    return order


def _farthest(placed: Tensor, count: int) -> Tensor:
    chosen = torch.zeros(len(placed), count, dtype=torch.long, device=placed.device)
    gap = torch.full_like(placed[:, :, 0], torch.inf)
    for i in range(1, count):
        last = chosen[:, i - 1 : i]
        middle = placed.gather(1, last[:, :, None].expand(-1, -1, placed.shape[2]))
        # nothing is as near as a centre is to itself: it is never chosen again, though points may coincide
        gap = torch.minimum(gap, _squared(placed, middle)).scatter(1, last, -1.0)
        chosen[:, i] = gap.argmax(1)
    return chosen


def _squared(a: Tensor, b: Tensor) -> Tensor:
    return sum(
        ((a[..., axis] - b[..., axis]) ** 2 for axis in range(a.shape[-1])), torch.zeros((), dtype=a.dtype)
    )


def _fake(points: Tensor, groups: int, neighbours: int, axes: int) -> tuple[Tensor, Tensor]:
    made = points.new_empty((points.shape[0], groups, neighbours), dtype=torch.long)
    return made.new_empty((points.shape[0], groups)), made


_library.impl("group_points", _forward, "CompositeExplicitAutograd")
torch.library.register_fake("spikedrive::group_points", _fake, lib=_library)
