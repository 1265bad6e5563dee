"""Variants of the neurons that rescale their membrane: MPBN, what it folds into, Re-Loss and Hoyer."""

VARIANTS = {
    "MPBNLIF": [
        {}, {"write_back": True, "decay": 0.5, "threshold": 1.0, "strict": False},
        {"reset": "soft", "detach_reset": True, "decay_input": True},
    ],
    "ThresholdLIF": [{}, {"threshold": -0.5, "sign": -1.0}, {"reset": "soft", "decay_input": True, "strict": False}],
    "MPRLIF": [{}, {"decay": 0.25}],
    "HoyerLIF": [{"extremum": "fixed"}, {}, {"scale": 0.5}],
}  # fmt: skip
