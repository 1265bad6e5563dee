"""Frames and voxel grids in plain PyTorch: the meaning of the compiled form."""

from __future__ import annotations

import torch
from torch import Tensor

from spikedrive.ops.events.batch import EventBatch


def frames(batch: EventBatch, steps: int, by_count: bool, bin: float | None, levels: int | None) -> Tensor:
    """Counts (steps, B, 2, H, W); see `spikedrive.ops.events.frames`."""
    step, _ = time_steps(batch, steps, bin)
    if by_count:
        i = torch.arange(len(batch.t), device=batch.t.device) - batch.offsets[batch.clip]
        step = i * steps // batch.counts[batch.clip] if bin is None else i // int(min(bin, 1e18))
    kept = step < steps
    place = places(batch, step, batch.p, 2)[kept]
    counts = torch.bincount(place, minlength=steps * len(batch) * 2 * batch.height * batch.width)
    counts = counts if levels is None else counts.clamp(max=levels)
    return counts.float().view(steps, len(batch), 2, batch.height, batch.width)


def voxel_grid(batch: EventBatch, steps: int, signed: bool) -> Tensor:
    """Sums (steps, B, 1 or 2, H, W); see `spikedrive.ops.events.voxel_grid`."""
    channels = 1 if signed else 2
    position = shares(batch)[0] * (steps - 1)
    step = position.long()
    above = position - step
    weights = torch.stack((1 - above, above), 1).float()
    if signed:
        weights = torch.where(batch.p[:, None] == 0, -weights, weights)
    place = places(batch, step, batch.p * 0 if signed else batch.p, channels)
    size = len(batch) * channels * batch.height * batch.width
    # what would fall behind the last step has the weight 0, and falls onto a step that is cut off
    sums = weights.new_zeros((steps + 1) * size)
    where = torch.stack((place, place + size), 1)
    # one event behind the other in every sum, on a GPU too, where index_add_ takes any order
    sums.index_put_((where.flatten(),), weights.flatten(), accumulate=True)
    return sums[: steps * size].view(steps, len(batch), channels, batch.height, batch.width)


def time_steps(batch: EventBatch, steps: int, bin: float | None) -> tuple[Tensor, Tensor]:
    """The step of each event by its time, `steps` or more behind the last one, and its time from its clip's beginning.

    *Shapes*: (N,) int64, (N,) float64.
    *Raises*: ValueRangeError as `shares`; an event may lie behind its clip where bins have a size.
    """
    share, since = shares(batch, bounded=bin is None)
    if bin is None:
        return (share * steps).long().clamp(max=steps - 1), since
    # limited before it becomes a whole number, which holds less
    return torch.div(since, bin, rounding_mode="floor").clamp(max=steps).long(), since


def shares(batch: EventBatch, *, bounded: bool = True) -> tuple[Tensor, Tensor]:
    """Where in the time of its clip each event is, from 0 to 1, and how far from its beginning; both float64.

    *Shapes*: (N,), (N,).
    *Raises*: ValueRangeError for the first event that is outside of the sensor, of another polarity, before its clip
    or, where `bounded`, behind it.
    """
    begin, end = batch.begin.double(), batch.end.double()
    since = batch.t.double() - begin[batch.clip]
    length = (end - begin)[batch.clip]
    x, y = batch.x, batch.y
    right = (x >= 0) & (x < batch.width) & (y >= 0) & (y < batch.height) & (batch.p <= 1) & (since >= 0)
    if bounded:
        right &= since <= length
    if not bool(right.all()):
        batch.refuse(int((~right).nonzero()[0]))
    return torch.where(length > 0, since / length, 0.0), since


def places(batch: EventBatch, step: Tensor, channel: Tensor, channels: int) -> Tensor:
    """Where in (steps, B, channels, H, W) each event falls, laid out flat."""
    row = (step * len(batch) + batch.clip) * channels + channel
    return (row * batch.height + batch.y) * batch.width + batch.x
