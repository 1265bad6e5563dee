"""Mixers: what lets tokens, or channels, see each other."""

from spikedrive.blocks.mixers.attention import SpikeAttention
from spikedrive.blocks.mixers.axial import AxialMixer
from spikedrive.blocks.mixers.mlp import MLP, ChannelMixer
from spikedrive.blocks.mixers.pointwise import PointwiseMixer
from spikedrive.blocks.mixers.window import SpikeMask, WindowAttention

__all__ = [
    "MLP",
    "AxialMixer",
    "ChannelMixer",
    "PointwiseMixer",
    "SpikeAttention",
    "SpikeMask",
    "WindowAttention",
]
