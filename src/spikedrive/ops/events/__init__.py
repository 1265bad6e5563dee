"""What networks read of events: a batch of clips, and tensors made of it."""

from spikedrive.ops.events.batch import EventBatch
from spikedrive.ops.events.grids import By, frames, frames_domain, voxel_grid

__all__ = ["By", "EventBatch", "frames", "frames_domain", "voxel_grid"]
