"""Variants of the neuron in `spikedrive.neurons.qcfs`, with unit ceilings a level: the operation emits integers."""

VARIANTS = {
    "QCFS": [
        {"ceiling": 16.0},
        {"levels": 4, "ceiling": 4.0},
        {"spiking": True, "ceiling": 1.0, "learn_ceiling": False},
    ]
}
