"""What networks read of events: a batch of clips, and tensors made of it."""

from spikedrive.ops.events.batch import EventBatch
from spikedrive.ops.events.grids import By, frames, frames_domain, voxel_grid
from spikedrive.ops.events.sampling import Points, points
from spikedrive.ops.events.surface import time_surface
from spikedrive.ops.events.voxels import SpikeVoxels, spike_voxels

__all__ = [
    "By", "EventBatch", "Points", "SpikeVoxels", "frames", "frames_domain", "points", "spike_voxels", "time_surface",
    "voxel_grid",
]  # fmt: skip
