"""A simulated event camera, and the sets of clips that it made."""

from spikedrive.data.events.simulated.actions import paired_actions
from spikedrive.data.events.simulated.camera import EventCamera
from spikedrive.data.events.simulated.films import Film, open_film
from spikedrive.data.events.simulated.flow import FlowClip, FlowSet, Motion, moving_textures
from spikedrive.data.events.simulated.flow_sources import FLOW_SETS, load_flow
from spikedrive.data.events.simulated.scenes import render, saccades
from spikedrive.data.events.simulated.sets import MOTIONS, moving_fashion, saccades_fashion

__all__ = [
    "FLOW_SETS", "MOTIONS", "EventCamera", "Film", "FlowClip", "FlowSet", "Motion", "load_flow", "moving_fashion",
    "moving_textures", "open_film", "paired_actions", "render", "saccades", "saccades_fashion",
]  # fmt: skip
