"""Layers that are sent changes alone, and what they were sent."""

from spikedrive.blocks.delta.layer import DeltaLayer
from spikedrive.blocks.delta.record import DeltaRecord, record_deltas

__all__ = ["DeltaLayer", "DeltaRecord", "record_deltas"]
