"""Variants of the neuron in `spikedrive.neurons.two_point`."""

VARIANTS = {"TwoPoint": [{}, {"form": "exponential"}]}
