"""Blocks: the closed set of parts that models are built from."""

from spikedrive.blocks.conv import ConvBN, DepthwisePointwise, RepConv, SepConv
from spikedrive.blocks.embed import Downsample, PatchStem
from spikedrive.blocks.fuse import fuse
from spikedrive.blocks.init import spread_over_levels
from spikedrive.blocks.linear import DistilledLinear, LinearChain
from spikedrive.blocks.mixers import MLP, SpikeAttention
from spikedrive.blocks.model import InputKind, ModelCard, SpikingModel, select_levels
from spikedrive.blocks.neuron import NeuronLike, describe_neuron, make_neuron
from spikedrive.blocks.readout import ClassifyHead, MeanOverTime
from spikedrive.blocks.residual import Dropout, DropPath, MembraneShortcut, SEWShortcut
from spikedrive.blocks.tdbn import TdBN

__all__ = [
    "MLP", "ClassifyHead", "ConvBN", "DepthwisePointwise", "DistilledLinear", "Downsample", "DropPath", "Dropout",
    "InputKind", "LinearChain", "MeanOverTime", "MembraneShortcut", "ModelCard", "NeuronLike", "PatchStem", "RepConv",
    "SEWShortcut", "SepConv", "SpikeAttention", "SpikingModel", "TdBN", "describe_neuron", "fuse", "make_neuron",
    "select_levels", "spread_over_levels",
]  # fmt: skip
