"""Variants of the neurons in `spikedrive.neurons.parallel`."""

VARIANTS = {
    "PSN": [{"steps": 6}],
    "MaskedPSN": [{"steps": 6, "order": 3}, {"steps": 6, "mix": 0.5}, {"steps": 6, "order": 1}],
    "SlidingPSN": [{}, {"order": 3, "exponential": False}, {"order": 1}],
}
