"""Spike voxels: space and time in small boxes, of which those with events are listed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxtyping import Float32, Int32
from torch import Tensor

from spikedrive.ops.domain import Domain
from spikedrive.ops.events import reference
from spikedrive.ops.events.batch import EventBatch
from spikedrive.ops.events.grids import check_whole, frames, frames_domain


@dataclass(frozen=True, eq=False)
class SpikeVoxels:
    """The voxels that hold events: where, and how many of each polarity, from 0 to `levels`.

    *Shapes*: coordinates (S, 4) as clip, t, y, x, in that order of size; features (S, 2), the darker polarity first;
    `shape` is (t, y, x) of a clip.
    """

    coordinates: Int32[Tensor, "S 4"]
    features: Float32[Tensor, "S 2"]
    clips: int
    shape: tuple[int, int, int]
    levels: int

    @property
    def domain(self) -> Domain | None:
        """What the features hold: whole numbers to `levels`, spikes for one level."""
        return frames_domain(self.levels)

    def dense(self) -> Float32[Tensor, "T B 2 Y X"]:
        """All voxels, (t, B, 2, y, x)."""
        steps, rows, columns = self.shape
        y = self.features.new_zeros(self.clips, steps, rows, columns, 2)
        y[tuple(self.coordinates.long().unbind(1))] = self.features
        return y.permute(1, 0, 4, 2, 3).contiguous()


def spike_voxels(
    batch: EventBatch, *, steps: int, pixels: int = 1, levels: int = 1, bin: float | None = None
) -> SpikeVoxels:
    """Count events in boxes of a step and `pixels` x `pixels` pixels, up to `levels`.

    *Equation*: that of `frames` by time at (x // pixels, y // pixels); boxes at the far edges may be smaller.
    *Shapes*: B clips -> S sites; `dense()` gives (steps, B, 2, ceil(H / pixels), ceil(W / pixels)).
    *Units*: `bin` in the unit of t, None for a clip's length divided by steps.
    *Multiplies*: none; the first layer meets whole numbers, spikes with levels=1.
    *Raises*: ConfigError for numbers that are not positive; ValueRangeError as `frames`.
    """
    check_whole("spike_voxels", pixels=pixels, levels=levels)
    # an event outside the sensor may be inside a box at its edge
    reference.shares(batch, bounded=bin is None)
    coarse = replace(
        batch,
        x=batch.x // pixels,
        y=batch.y // pixels,
        width=-(-batch.width // pixels),
        height=-(-batch.height // pixels),
    )
    counts = frames(coarse, steps=steps, bin=bin, levels=levels).permute(1, 0, 3, 4, 2)
    sites = (counts > 0).any(-1).nonzero()
    features = counts[tuple(sites.unbind(1))]
    return SpikeVoxels(sites.int(), features, len(batch), (steps, coarse.height, coarse.width), levels)
