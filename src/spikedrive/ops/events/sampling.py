"""Clouds of points: a fixed number of events of each clip."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from spikedrive.errors import unknown_name
from spikedrive.ops.events import reference
from spikedrive.ops.events.batch import EventBatch
from spikedrive.ops.events.grids import check_whole


class Points(NamedTuple):
    """`points` (B, N, 3 or 4), and how many of each clip are its own events; those behind repeat them."""

    points: Float32[Tensor, "B N C"]
    counts: Int64[Tensor, "B"]

    @property
    def mask(self) -> Bool[Tensor, "B N"]:
        """True where a point is no repetition."""
        return torch.arange(self.points.shape[1], device=self.counts.device) < self.counts[:, None]


def points(
    batch: EventBatch,
    *,
    number: int,
    sample: Literal["random", "uniform"] = "random",
    polarity: bool = False,
    seed: int = 0,
) -> Points:
    """So many events of each clip, in order of time, as points in a cube.

    The columns are x / (W - 1), y / (H - 1), (t - begin) / (end - begin) and, with `polarity`, 0 or 1; all in [0, 1].
    "random" draws without putting back, and the same for the same batch and seed on every device; "uniform" takes every
    (n / number)-th of the n events. A clip of fewer events is repeated from its first one on until there are enough,
    and one without any is all 0; `counts` and `mask` say so.

    *Shapes*: B clips -> points (B, number, 3 or 4), counts (B,).
    *Multiplies*: the first layer meets real numbers.
    *Raises*: ConfigError for a number below 1; UnknownNameError for another way to sample; ValueRangeError as `frames`.
    *Source*: the sampling of SpikePoint (arXiv 2310.07189), which leaves polarity out.
    """
    check_whole("points", number=number)
    if sample not in ("random", "uniform"):
        raise unknown_name("way to sample points", sample, ("random", "uniform"))
    share, _ = reference.shares(batch)
    columns = [batch.x / max(1, batch.width - 1), batch.y / max(1, batch.height - 1), share]
    columns += [batch.p] if polarity else []
    table = torch.stack([column.float() for column in columns], 1)
    # what a clip without events is made of
    table = torch.cat((table, table.new_zeros(1, table.shape[1])))
    chosen = _chosen(batch, number, sample, seed)
    return Points(table[chosen], batch.counts.clamp(max=number))


def _chosen(batch: EventBatch, number: int, sample: str, seed: int) -> Tensor:
    """The places of the events in the batch (B, number)."""
    first, n = batch.offsets[:-1, None], batch.counts[:, None]
    j = torch.arange(number, device=n.device)
    if sample == "uniform" or not len(batch.t):
        many = first + j * n // number
    else:
        keys = torch.rand(len(batch.t), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        # clips stay one behind the other, each in an order of its own
        shuffled = (batch.clip + keys.to(n.device)).argsort(stable=True)
        many = shuffled[(first + j).clamp(max=len(shuffled) - 1)].sort(1).values
    few = torch.where(n > 0, first + j % n.clamp(min=1), len(batch.t))
    return torch.where(n > number, many, few)
