"""Blocks: the closed set of parts that models are built from."""

from spikedrive.blocks.conv import ConvBN, DepthwisePointwise, RepConv, RepPointwise, SepConv
from spikedrive.blocks.embed import Downsample, PatchStem
from spikedrive.blocks.fuse import fuse
from spikedrive.blocks.init import spread_over_levels
from spikedrive.blocks.linear import DistilledLinear, LayerScale, LinearChain
from spikedrive.blocks.mixers import MLP, PointwiseMixer, SpikeAttention
from spikedrive.blocks.model import InputKind, ModelCard, SpikingModel, select_levels
from spikedrive.blocks.neuron import NeuronLike, describe_neuron, integer_neuron, make_neuron
from spikedrive.blocks.pyramid import Stage, pyramid_features, pyramid_stages
from spikedrive.blocks.quantised import LearnedStep, quantise_weights
from spikedrive.blocks.readout import ClassifyHead, MeanOverTime
from spikedrive.blocks.residual import Dropout, DropPath, MembraneBlock, MembraneShortcut, SEWShortcut
from spikedrive.blocks.tdbn import TdBN

__all__ = [
    "MLP", "ClassifyHead", "ConvBN", "DepthwisePointwise", "DistilledLinear", "Downsample", "DropPath", "Dropout",
    "InputKind", "LayerScale", "LearnedStep", "LinearChain", "MeanOverTime", "MembraneBlock", "MembraneShortcut",
    "ModelCard", "NeuronLike", "PatchStem", "PointwiseMixer", "RepConv", "RepPointwise", "SEWShortcut", "SepConv",
    "SpikeAttention", "SpikingModel", "Stage", "TdBN", "describe_neuron", "fuse", "integer_neuron", "make_neuron",
    "pyramid_features", "pyramid_stages", "quantise_weights", "select_levels", "spread_over_levels",
]  # fmt: skip
