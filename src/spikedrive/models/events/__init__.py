"""Networks for event cameras: attention over frames, convolutions, sets of points, and pictures beside events."""

from spikedrive.models.events import csnn, event_flow, mmhco, spikepoint, ta_snn

__all__ = ["csnn", "event_flow", "mmhco", "spikepoint", "ta_snn"]
