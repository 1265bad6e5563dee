"""Mixers: what lets tokens, or channels, see each other."""

from spikedrive.blocks.mixers.attention import SpikeAttention
from spikedrive.blocks.mixers.mlp import MLP
from spikedrive.blocks.mixers.pointwise import PointwiseMixer

__all__ = ["MLP", "PointwiseMixer", "SpikeAttention"]
