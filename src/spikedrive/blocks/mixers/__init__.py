"""Mixers: what lets tokens, or channels, see each other."""

from spikedrive.blocks.mixers.attention import SpikeAttention
from spikedrive.blocks.mixers.mlp import MLP

__all__ = ["MLP", "SpikeAttention"]
