"""Variants of the neurons that spikes change: adaptive and complementary."""

VARIANTS = {
    "ALIF": [
        {},
        {"subtract_base": True, "scale_trace": True, "decay_input": False},
        {"reset": "hard", "beta": 0.0},
    ],
    "CLIF": [{}, {"decay": 0.25, "strict": True}],
}
