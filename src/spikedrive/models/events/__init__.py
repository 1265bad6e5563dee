"""Networks for event cameras: frames that attention weighs, plain convolutions, and sets of points."""

from spikedrive.models.events import csnn, spikepoint, ta_snn

__all__ = ["csnn", "spikepoint", "ta_snn"]
