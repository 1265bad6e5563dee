"""From a set of points to spikes: groups of neighbours, each seen from its middle."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikedrive.encoders import Poisson
from spikedrive.encoders.checks import static_input
from spikedrive.errors import ValueRangeError
from spikedrive.neurons.neuron import check_count
from spikedrive.ops.points import group_points

AXES = 3
"""The columns of a point that are a place: x, y and t of an event."""


class PointGroups(nn.Module):
    """Groups of neighbouring points as they look from their middle, and the middles.

    *Equation*: with c the middle of a group and p its points, over x, y and t

        local   [min(1, |p - c| / s), min over the group of p],  s^2 the mean of (p - c)^2 over points and axes
        centre  c

    and further columns, such as polarity, as they are behind both. Groups are those of `ops.points.group_points`, so
    that the order of the points says nothing.

    *Shapes*: x (B, N, D) -> local (B, D + 3, M, K), centre (B, D, M, 1), M = groups, K = neighbours.
    *Units*: every value lies in 0..1, as x has to.
    *Multiplies*: squares of differences, in distances and s, and the division by s.
    *Raises*: ConfigError for sizes below 1; ShapeError for fewer points than M or K; ValueRangeError for coordinates
    outside 0..1.
    *Source*: SpikePoint (arXiv 2310.07189), as its readers describe it; which deviation s is they do not say, and
    that values above 1 are cut is ours.
    """

    def __init__(self, groups: int, neighbours: int) -> None:
        super().__init__()
        check_count("PointGroups", "groups", groups)
        check_count("PointGroups", "neighbours", neighbours)
        self.groups, self.neighbours = int(groups), int(neighbours)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both, channels first."""
        _check_unit(x)
        centres, members = group_points(x, self.groups, self.neighbours, axes=AXES)
        middle = x.gather(1, centres[:, :, None].expand(-1, -1, x.shape[2])).movedim(2, 1)[..., None]
        near = x.gather(1, members.flatten(1)[:, :, None].expand(-1, -1, x.shape[2])).movedim(2, 1)
        near = near.unflatten(2, (self.groups, self.neighbours))
        away = near[:, :AXES] - middle[:, :AXES]
        # points that all coincide are at their middle, and not nowhere
        spread = away.square().mean((1, 3), keepdim=True).sqrt().clamp_min(1e-6)
        nearest = near[:, :AXES].amin(3, keepdim=True).expand(away.shape)
        seen = torch.cat([(away.abs() / spread).clamp_max(1.0), nearest, near[:, AXES:]], 1)
        return seen, middle

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"groups={self.groups}, neighbours={self.neighbours}"


class PointCoding(nn.Module):
    """`PointGroups`, as spikes: each value is the probability of one in a step.

    The draws are those of `encoders.Poisson` with one draw for all samples, so that an answer depends on the seed and
    on the sample alone.

    *Shapes*: x (B, N, D) in 0..1 -> local (T, B, D + 3, M, K), centre (T, B, D, M, 1).
    *Multiplies*: as `PointGroups`; behind it spikes.
    *Raises*: as `PointGroups` and `encoders.Poisson`.
    """

    def __init__(self, groups: int, neighbours: int, *, steps: int, seed: int | None = 0) -> None:
        super().__init__()
        self.groups = PointGroups(groups, neighbours)
        self.local_code = Poisson(steps, seed=seed, shared=True)
        self.centre_code = Poisson(steps, seed=None if seed is None else seed + 1, shared=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes of both."""
        local, centre = self.groups(x)
        return self.local_code(local), self.centre_code(centre)


def _check_unit(x: Tensor) -> None:
    static_input("PointGroups", x)
    # an exported or compiled call has no values to look at
    if torch.compiler.is_compiling() or x.numel() == 0:
        return
    low, high = map(float, x.detach().aminmax())
    if not (low >= 0 and high <= 1):
        raise ValueRangeError(
            f"PointGroups got coordinates from {low:g} to {high:g}; it takes 0 to 1. Scale each column, as "
            "ops.events.points does."
        )
