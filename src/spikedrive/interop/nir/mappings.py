"""Which neuron is which node of NIR, and how time constants and resistances convert.

NIR writes differential equations, this library steps. With a step of dt seconds and Euler's rule

    tau dv/dt = (v_leak - v) + r x     becomes     h = d v + (1 - d)(v_leak + r x),  d = 1 - dt / tau
    dv/dt = r x                        becomes     h = v + dt r x
    tau_syn dc/dt = w_in x - c         becomes     c = a c + (1 - a) w_in x,  a = 1 - dt / tau_syn

and a neuron of NIR fires where h > v_threshold and is then set to v_reset.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mapping:
    """What a neuron is in NIR: its node and the conversion, or no node and the reason."""

    node: str | None
    conversion: str

    @property
    def said(self) -> str:
        """Both in a sentence."""
        return f"{self.node}: {self.conversion}" if self.node else f"none: {self.conversion}"


_HARD = "v_leak = v_reset = reset_value; v_threshold is the next smaller fp32 unless strict; hard reset only"

MAPPINGS = {
    "IF": Mapping("IF", "r = 1 / dt, v_reset = reset_value; v_threshold is the next smaller fp32 unless strict; "
                        "hard reset only"),
    "LIF": Mapping("LIF", f"tau = dt / (1 - decay); r = 1, or 1 / (1 - decay) without decay_input; {_HARD}"),
    "PLIF": Mapping("LIF", f"tau = dt / sigmoid(w), as learned; r = 1, or 1 / sigmoid(w) without decay_input; {_HARD}"),
    "CurrentLIF": Mapping(
        "CubaLIF",
        "tau_syn = dt / (1 - current_decay), w_in = 1 / (1 - current_decay), tau_mem = dt / (1 - decay), "
        f"r = 1 / (1 - decay), the current before the membrane; {_HARD}",
    ),
    "Accumulate": Mapping("I", "r = 1 / dt"),
}  # fmt: skip
"""By class name; what is missing here has no node."""

_REASONS = {
    "ternary": "NIR's neurons emit 0 and 1, and this one spikes of either sign",
    "integer": "NIR's neurons emit spikes, and this one integers; levels spikes a step would be another network",
    "real": "NIR's neurons emit spikes, and this one real numbers",
    "equation": "NIR 1.0 has no node with its equation",
}


def mapping(name: str, kind: str = "binary") -> Mapping:
    """What the neuron class `name`, which emits values of this `kind`, is in NIR.

    >>> mapping("IF").node, mapping("QIF").said
    ('IF', 'none: NIR 1.0 has no node with its equation')
    """
    return MAPPINGS.get(name) or Mapping(None, _REASONS.get(kind, _REASONS["equation"]))
