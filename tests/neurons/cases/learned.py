"""Variants of KLIF, GLIF and TC-LIF, which learn what others fix."""

VARIANTS = {
    "KLIF": [
        {},
        {"k": 1.3, "scale_reset": True, "reset": "soft", "decay_input": False},
        {"reset_value": -0.2},
    ],
    "GLIF": [{"steps": 6}],
    "TCLIF": [{}, {"detach_reset": True, "reset_dendrite": 0.0, "threshold": 0.5}],
}
