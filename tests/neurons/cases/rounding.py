"""Variants of the neuron in `spikedrive.neurons.rounding`."""

VARIANTS = {"RoundingIF": [{}]}
