"""What neurons written as an equation share: a threshold, a reset and a surrogate."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.errors import unknown_name
from spikedrive.neurons.neuron import Neuron, check_number
from spikedrive.ops import equation
from spikedrive.ops import surrogate as surrogates
from spikedrive.ops.domain import Binary, Domain
from spikedrive.ops.surrogate import Surrogate

Reset = Literal["hard", "soft"]

FIRING = (
    "float threshold, bool hard_reset, float reset_value, bool strict, bool detach_reset, "
    "str surrogate, float alpha"
)
"""The end of the schema of an operation that fires by `fire_and_reset`."""

FiringOptions = tuple[float, bool, float, bool, bool, str, float]


class FiringNeuron(Neuron):
    """A neuron that emits a spike where its membrane h reaches the threshold, and resets it; abstract.

    *Equation*:

        fire    s = 1 where h >= threshold        (> with strict=True)
        reset   v = h where s = 0, r where s = 1  (reset="hard")
                v = h - threshold s               (reset="soft")

    *Raises*: ConfigError for a threshold of zero or less; UnknownNameError for another reset.
    """

    def __init__(
        self,
        threshold: float,
        *,
        reset: Reset,
        reset_value: float,
        strict: bool,
        detach_reset: bool,
        surrogate: Surrogate | None,
    ) -> None:
        super().__init__()
        check_number(type(self).__name__, "threshold", threshold, above=0)
        if reset not in ("hard", "soft"):
            raise unknown_name("reset", reset, ("hard", "soft"))
        self.reset: Reset = reset
        self.threshold, self.reset_value = float(threshold), float(reset_value)
        self.strict, self.detach_reset = strict, detach_reset
        self.surrogate = surrogate or surrogates.sigmoid()

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    @property
    def firing(self) -> FiringOptions:
        """The arguments that `FIRING` names."""
        hard = self.reset == "hard"
        return (
            self.threshold, hard, self.reset_value, self.strict, self.detach_reset,
            self.surrogate.name, float(self.surrogate.alpha),
        )  # fmt: skip

    def membrane_at_rest(self, x: Float[Tensor, "T B *S"]) -> Float[Tensor, "B *S"]:
        """The reset value after a hard reset, zero before a soft one."""
        return torch.full_like(x[0], self.reset_value if self.reset == "hard" else 0.0)


def fire_and_reset(
    h: Float[Tensor, "B *S"],
    threshold: float | Tensor,
    hard_reset: bool,
    reset_value: float,
    strict: bool,
    detach_reset: bool,
    surrogate: str,
    alpha: float,
) -> tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"]]:
    """Spikes, and the membrane after them."""
    s = equation.fire(h - threshold, surrogate, alpha, strict)
    return s, equation.reset(h, s, threshold, hard_reset, reset_value, detach_reset)
