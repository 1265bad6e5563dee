"""Clips of two cameras: pictures in colour, and events of the same scene."""

from spikedrive.data.events.paired.clips import PairedClip, PairedClips, PairedSet, Pictures
from spikedrive.data.events.paired.reading import PairedReader

__all__ = ["PairedClip", "PairedClips", "PairedReader", "PairedSet", "Pictures"]
