"""Variants of the neuron in `spikedrive.neurons.gif`."""

VARIANTS = {
    "GIF": [
        {},
        {"bits": 2, "extra_bits": 2, "scale": 0.25, "zero_point": 0},
        {"scale": None, "symmetric": True},
    ]
}
