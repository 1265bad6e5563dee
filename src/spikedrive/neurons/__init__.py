"""Neurons: ops with parameters. One file per idea."""

from spikedrive.neurons._registry import (
    get_cell,
    get_neuron,
    list_cells,
    list_neurons,
    register_cell,
    register_neuron,
)
from spikedrive.neurons.attention_lif import AttentionLIF
from spikedrive.neurons.delta import Accumulate, DeltaActivation, sparsity_loss
from spikedrive.neurons.egru import EGRU
from spikedrive.neurons.elastic import ElasticBiSpike
from spikedrive.neurons.elm import ELM
from spikedrive.neurons.gif import GIF
from spikedrive.neurons.information_enhanced import information_enhanced
from spikedrive.neurons.integer import ILIF, NILIF
from spikedrive.neurons.lif import IF, LIF, PLIF
from spikedrive.neurons.neuron import Neuron
from spikedrive.neurons.two_point import TwoPoint, modulate

__all__ = [
    "EGRU",
    "ELM",
    "GIF",
    "IF",
    "ILIF",
    "LIF",
    "NILIF",
    "PLIF",
    "Accumulate",
    "AttentionLIF",
    "DeltaActivation",
    "ElasticBiSpike",
    "Neuron",
    "TwoPoint",
    "get_cell",
    "get_neuron",
    "information_enhanced",
    "list_cells",
    "list_neurons",
    "modulate",
    "register_cell",
    "register_neuron",
    "sparsity_loss",
]
