"""Variants of the neuron in `spikedrive.neurons.signed`: the operation emits whole spikes, so ceilings are 1."""

VARIANTS = {"SignedIF": [{}, {"rectify": False}, {"learn_ceiling": True}]}
