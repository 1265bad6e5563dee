"""Neurons: ops with parameters. One file per idea."""

from spikedrive.neurons._registry import get_neuron, list_neurons, register_neuron
from spikedrive.neurons.integer import ILIF, NILIF
from spikedrive.neurons.lif import IF, LIF, PLIF
from spikedrive.neurons.neuron import Neuron

__all__ = ["IF", "ILIF", "LIF", "NILIF", "PLIF", "Neuron", "get_neuron", "list_neurons", "register_neuron"]
