"""Variants of the neurons in `spikedrive.neurons.lif` and `spikedrive.neurons.integer`."""

VARIANTS = {
    "LIF": [
        {}, {"reset": "soft"}, {"decay_input": False}, {"decay": 0.25, "strict": True}, {"detach_reset": False},
        {"delayed_reset": True, "strict": True}, {"delayed_reset": True, "reset": "soft", "save": "full"},
    ],
    "IF": [{}, {"reset": "soft", "threshold": 0.5}],
    "PLIF": [{}, {"reset": "soft", "decay_input": False, "tau": 3.0}],
    "ILIF": [
        {}, {"carry": True}, {"carry": True, "decay": 0.5, "decay_input": True}, {"levels": 1}, {"scale": 0.25},
        {"carry": True, "detach_reset": False},
        {"threshold": 0.25, "scale": 0.5, "rounding": "half_up", "gate": "open"},
    ],
    "NILIF": [{}, {"levels": 2, "inner_steps": 3}],
}  # fmt: skip
