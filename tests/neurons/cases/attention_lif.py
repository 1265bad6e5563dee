"""Variants of the neuron in `spikedrive.neurons.attention_lif`."""

VARIANTS = {"AttentionLIF": [{}, {"reset_value": 0.3}, {"offset": 0.25, "detach_reset": True}]}
