"""Variants of the neuron in `spikedrive.neurons.elastic`."""

VARIANTS = {"ElasticBiSpike": [{}, {"signs_only": True, "decay": 0.5}, {"learn_amplitude": True}]}
