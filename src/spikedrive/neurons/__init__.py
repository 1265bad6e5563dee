"""Neurons: ops with parameters. One file per idea."""

from spikedrive.neurons._registry import (
    get_cell,
    get_neuron,
    list_cells,
    list_neurons,
    register_cell,
    register_neuron,
)
from spikedrive.neurons.adaptive import ALIF
from spikedrive.neurons.attention_lif import AttentionLIF
from spikedrive.neurons.complementary import CLIF
from spikedrive.neurons.current import CurrentLIF
from spikedrive.neurons.delays import DelayedLinear
from spikedrive.neurons.delta import Accumulate, DeltaActivation, sparsity_loss
from spikedrive.neurons.egru import EGRU
from spikedrive.neurons.elastic import ElasticBiSpike, calibrate_amplitudes
from spikedrive.neurons.elm import ELM
from spikedrive.neurons.exponential import EIF
from spikedrive.neurons.gated import GLIF
from spikedrive.neurons.gif import GIF
from spikedrive.neurons.hoyer import HoyerLIF, hoyer_regulariser
from spikedrive.neurons.information_enhanced import information_enhanced
from spikedrive.neurons.integer import ILIF, NILIF
from spikedrive.neurons.klif import KLIF
from spikedrive.neurons.l2mu import L2MU
from spikedrive.neurons.legendre import LMU, LegendreMemory
from spikedrive.neurons.lif import IF, LIF, PLIF
from spikedrive.neurons.mpbn import MPBNLIF
from spikedrive.neurons.neuron import Neuron
from spikedrive.neurons.parallel import PSN, MaskedPSN, SlidingPSN
from spikedrive.neurons.qcfs import QCFS
from spikedrive.neurons.quadratic import QIF, Izhikevich
from spikedrive.neurons.rectified import MPRLIF, rectify
from spikedrive.neurons.rounding import RoundingIF
from spikedrive.neurons.signed import SignedIF
from spikedrive.neurons.spatial_attention import SpatialAttention
from spikedrive.neurons.spiking_lmu import SpikingLMU
from spikedrive.neurons.temporal_attention import TemporalAttention
from spikedrive.neurons.ternary import TernaryLIF
from spikedrive.neurons.threshold import ThresholdLIF
from spikedrive.neurons.two_compartment import TCLIF
from spikedrive.neurons.two_point import TwoPoint, modulate

__all__ = [
    "ALIF",
    "CLIF",
    "EGRU",
    "EIF",
    "ELM",
    "GIF",
    "GLIF",
    "IF",
    "ILIF",
    "KLIF",
    "L2MU",
    "LIF",
    "LMU",
    "MPBNLIF",
    "MPRLIF",
    "NILIF",
    "PLIF",
    "PSN",
    "QCFS",
    "QIF",
    "TCLIF",
    "Accumulate",
    "AttentionLIF",
    "CurrentLIF",
    "DelayedLinear",
    "DeltaActivation",
    "ElasticBiSpike",
    "HoyerLIF",
    "Izhikevich",
    "LegendreMemory",
    "MaskedPSN",
    "Neuron",
    "RoundingIF",
    "SignedIF",
    "SlidingPSN",
    "SpatialAttention",
    "SpikingLMU",
    "TemporalAttention",
    "TernaryLIF",
    "ThresholdLIF",
    "TwoPoint",
    "calibrate_amplitudes",
    "get_cell",
    "get_neuron",
    "hoyer_regulariser",
    "information_enhanced",
    "list_cells",
    "list_neurons",
    "modulate",
    "rectify",
    "register_cell",
    "register_neuron",
    "sparsity_loss",
]
