"""Blocks: the closed set of parts that models are built from."""

from spikedrive.blocks.conv import (
    Attended,
    ChannelNorm,
    ConvBN,
    DepthwisePointwise,
    EveryStep,
    PatchConv,
    PositionNormConv,
    RepConv,
    RepPointwise,
    SepConv,
    attended_conv,
)
from spikedrive.blocks.delta import DeltaLayer, DeltaRecord, record_deltas
from spikedrive.blocks.dense import DenseTask, PoseHead, PyramidDecoder, SegmentHead, make_head
from spikedrive.blocks.embed import Downsample, PatchEmbed, PatchEncoding, PatchMerging, PatchStem
from spikedrive.blocks.fuse import fuse
from spikedrive.blocks.init import Init, check_init, initialise_pyramid, spread_over_levels
from spikedrive.blocks.linear import DistilledLinear, LayerScale, LinearChain, NormPoolLinear
from spikedrive.blocks.mixers import (
    MLP,
    AxialMixer,
    ChannelMixer,
    FrequencyTables,
    HeatMixer,
    MapNorm,
    PointwiseMixer,
    Route,
    Scope,
    Similarity,
    SpaceTimeAttention,
    SpikeAttention,
    SpikeMask,
    WindowAttention,
    make_sequence_mixer,
)
from spikedrive.blocks.model import InputKind, ModelCard, SpikingModel, select_levels
from spikedrive.blocks.neuron import NeuronLike, describe_neuron, integer_neuron, make_neuron
from spikedrive.blocks.pyramid import Stage, enlarge_to, pyramid_features, pyramid_stages
from spikedrive.blocks.quantised import LearnedStep, quantise_weights
from spikedrive.blocks.readout import ClassifyHead, FlatHead, LayerNormHead, LeakyMean, MeanOverTime, NormHead
from spikedrive.blocks.residual import (
    Connect,
    Dropout,
    DropPath,
    MembraneBlock,
    MembraneShortcut,
    SEWShortcut,
)
from spikedrive.blocks.tdbn import TdBN

__all__ = [
    "MLP", "Attended", "AxialMixer", "ChannelMixer", "ChannelNorm", "ClassifyHead", "Connect", "ConvBN",
    "DeltaLayer", "DeltaRecord", "DenseTask", "DepthwisePointwise",
    "DistilledLinear", "Downsample", "DropPath", "Dropout", "EveryStep", "FlatHead", "FrequencyTables",
    "HeatMixer", "Init", "InputKind",
    "LayerNormHead", "LayerScale", "LeakyMean", "LearnedStep", "LinearChain", "MapNorm",
    "MeanOverTime", "MembraneBlock", "MembraneShortcut",
    "ModelCard", "NeuronLike", "NormHead", "NormPoolLinear", "PatchConv", "PatchEmbed", "PatchEncoding",
    "PatchMerging", "PatchStem", "PointwiseMixer", "PoseHead", "PositionNormConv", "PyramidDecoder",
    "RepConv", "RepPointwise", "Route",
    "SEWShortcut", "Scope", "SegmentHead", "SepConv", "Similarity", "SpaceTimeAttention", "SpikeAttention", "SpikeMask",
    "SpikingModel", "Stage", "TdBN", "WindowAttention", "attended_conv", "check_init",
    "describe_neuron", "enlarge_to",
    "fuse", "initialise_pyramid", "integer_neuron", "make_head", "make_neuron",
    "make_sequence_mixer", "pyramid_features", "pyramid_stages", "quantise_weights", "record_deltas", "select_levels",
    "spread_over_levels",
]  # fmt: skip
