"""Integrate-and-fire under a threshold that climbs: its spikes count to the nearest whole number."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.neuron import Neuron
from spikedrive.ops import checks, equation
from spikedrive.ops import surrogate as surrogates
from spikedrive.ops.domain import Domain, Ternary
from spikedrive.ops.surrogate import Surrogate


def _equation(x: Tensor, climbed: Tensor, surrogate: str, alpha: float) -> tuple[Tensor, Tensor]:
    spikes = []
    for current in x.unbind(0):
        threshold = climbed + 0.5
        up = equation.fire(current - threshold, surrogate, alpha)
        down = equation.fire(-current - threshold, surrogate, alpha)
        spikes.append(up - down)
        climbed = climbed + 1
    # an operation returns no argument of its own
    return torch.stack(spikes) if spikes else x.clone(), climbed.clone()


_rounding_scan = equation.define(
    "rounding_scan",
    "(Tensor x, Tensor climbed, str surrogate, float alpha) -> (Tensor, Tensor)",
    _equation,
    domain=lambda arguments: Ternary(),
)


@register_neuron
class RoundingIF(Neuron):
    """A neuron that forgets its charge at every step and whose threshold climbs by one a step.

    *Equation*, in step t = 0, 1, ...:

        charge  h = x
        fire    s = sign(h) where |h| >= t + 1/2, else 0

    The same x for T steps gives sign(x) min(floor(|x| + 1/2), T) spikes in sum: x rounded to the nearest whole number,
    halves away from zero. The state is t. The slope of s is the surrogate's at |h| - t - 1/2.

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Units*: x in counts of spikes.
    *Multiplies*: none.
    *Source*: the neuron of BrainTransformers (arXiv 2410.14687), with the constants of its released model.

    >>> RoundingIF()(torch.tensor([2.5, -0.7, 0.4]).expand(4, 3)).sum(0).tolist()
    [3.0, -1.0, 0.0]
    """

    def __init__(self, *, surrogate: Surrogate | None = None) -> None:
        super().__init__()
        self.surrogate = surrogate or surrogates.sigmoid()

    @property
    def domain(self) -> Domain:
        """Ternary."""
        return Ternary()

    def rest(self, x: Float[Tensor, "T B *S"]) -> Float[Tensor, "B *S"]:
        """No step climbed yet."""
        return torch.zeros_like(x[0])

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S"]
    ) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "B *S"]]:
        """Spikes of both signs, and how far the threshold has climbed."""
        checks.scan_input("RoundingIF", x, state)
        return _rounding_scan(x, state, self.surrogate.name, self.surrogate.alpha)
