"""Variants of the neurons in `spikedrive.neurons.current` and `spikedrive.neurons.ternary`."""

VARIANTS = {
    "CurrentLIF": [{}, {"reset": "soft", "detach_reset": False}, {"strict": True, "save": "full", "reset_value": -0.2}],
    "TernaryLIF": [
        {}, {"reset": "soft"}, {"detach_reset": False},
        {"decay": 0.25, "threshold": 0.5, "decay_input": False, "window": 1.0},
        {"learned_amplitude": True},
    ],
}  # fmt: skip
