"""Encoders: where T is born."""

from spikedrive.encoders.delta import Delta
from spikedrive.encoders.direct import Direct
from spikedrive.encoders.events import BinnedEvents
from spikedrive.encoders.latency import Latency
from spikedrive.encoders.patches import PatchSpikes
from spikedrive.encoders.rate import Poisson
from spikedrive.encoders.smoothing import RSC

__all__ = ["RSC", "BinnedEvents", "Delta", "Direct", "Latency", "PatchSpikes", "Poisson"]
