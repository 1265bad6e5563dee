"""Mixers: what lets tokens, or channels, see each other."""

from spikedrive.blocks.mixers.attention import SpikeAttention
from spikedrive.blocks.mixers.axial import AxialMixer
from spikedrive.blocks.mixers.causal_attention import AttentionCache, CausalAttention
from spikedrive.blocks.mixers.heat import FrequencyTables, HeatConduction, HeatMixer, MapNorm
from spikedrive.blocks.mixers.mlp import MLP, ChannelMixer
from spikedrive.blocks.mixers.pointwise import PointwiseMixer
from spikedrive.blocks.mixers.recurrent import RecurrentMixer
from spikedrive.blocks.mixers.rotary import Rotary
from spikedrive.blocks.mixers.routing import Route, RoutedFusion
from spikedrive.blocks.mixers.select_merge import SelectMergeCache, select_merge
from spikedrive.blocks.mixers.sequence import SEQUENCE_MIXERS, make_sequence_mixer
from spikedrive.blocks.mixers.space_time import Scope, Similarity, SpaceTimeAttention
from spikedrive.blocks.mixers.spike_memory import SpikeMemory
from spikedrive.blocks.mixers.tokens import TOKEN_MIXERS
from spikedrive.blocks.mixers.window import SpikeMask, WindowAttention
from spikedrive.blocks.mixers.wkv import WKV, TimeMix

__all__ = [
    "MLP",
    "SEQUENCE_MIXERS",
    "TOKEN_MIXERS",
    "WKV",
    "AttentionCache",
    "AxialMixer",
    "CausalAttention",
    "ChannelMixer",
    "FrequencyTables",
    "HeatConduction",
    "HeatMixer",
    "MapNorm",
    "PointwiseMixer",
    "RecurrentMixer",
    "Rotary",
    "Route",
    "RoutedFusion",
    "Scope",
    "SelectMergeCache",
    "Similarity",
    "SpaceTimeAttention",
    "SpikeAttention",
    "SpikeMask",
    "SpikeMemory",
    "TimeMix",
    "WindowAttention",
    "make_sequence_mixer",
    "select_merge",
]
