"""Networks for event cameras: attention over frames, convolutions, sets of points, and pictures beside events."""

from spikedrive.models.events import csnn, mmhco, spikepoint, ta_snn

__all__ = ["csnn", "mmhco", "spikepoint", "ta_snn"]
