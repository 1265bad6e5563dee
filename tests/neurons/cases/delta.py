"""Variants of the neuron in `spikedrive.neurons.delta`."""

VARIANTS = {
    "DeltaActivation": [
        {},
        {"step": 0.25, "levels": None},
        {"step": 0.0, "levels": None},
        {"learn_step": True},
    ]
}
