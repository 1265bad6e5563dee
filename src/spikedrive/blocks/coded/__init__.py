"""Operations of a language model on numbers that travel as counts of spikes (BrainTransformers)."""

from spikedrive.blocks.coded.operators import SpikingMatmul, SpikingSoftmax, Synapsis
from spikedrive.blocks.coded.silu import SpikingSiLU
from spikedrive.blocks.coded.spike_code import SpikeCode

__all__ = ["SpikeCode", "SpikingMatmul", "SpikingSiLU", "SpikingSoftmax", "Synapsis"]
