"""Variants of the neurons in `spikedrive.neurons.quadratic` and `spikedrive.neurons.exponential`."""

VARIANTS = {
    "QIF": [{}, {"detach_reset": False, "a0": 0.5}, {"strict": True, "tau": 3.0, "reset_value": 0.0}],
    "Izhikevich": [{}, {"a": 0.1, "b": 0.2, "detach_reset": False}],
    "EIF": [{}, {"tau": 3.0, "delta": 0.5, "detach_reset": False}],
}
