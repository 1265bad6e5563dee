"""CLIF: a second potential that remembers spikes and deepens the reset."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.neuron import Neuron, check_number
from spikedrive.ops import equation
from spikedrive.ops import surrogate as surrogates
from spikedrive.ops.checks import scan_input
from spikedrive.ops.domain import Binary, Domain
from spikedrive.ops.surrogate import Surrogate


def _clif(x, v, m, decay, threshold, strict, surrogate, alpha):
    out = []
    for x_t in x.unbind(0):
        h = decay * v + x_t
        s = equation.fire(h - threshold, surrogate, alpha, strict)
        m = m * torch.sigmoid((1 - decay) * h) + s
        v = h - s * (threshold + torch.sigmoid(m))
        out.append(s)
    return torch.stack(out), v, m


_clif_scan = equation.define(
    "clif_scan",
    "(Tensor x, Tensor v, Tensor m, float decay, float threshold, bool strict, str surrogate, float alpha) "
    "-> (Tensor, Tensor, Tensor)",
    _clif,
    domain=lambda arguments: Binary(),
)


@register_neuron
class CLIF(Neuron):
    """Complementary leaky integrate-and-fire: gradients also flow along a potential that a reset leaves alone.

    *Equation*, with decay d and the complementary potential m:

        charge      h = d v + x
        fire        s = 1 where h >= threshold        (> with strict=True)
        complement  m = m sigmoid((1 - d) h) + s
        reset       v = h - s (threshold + sigmoid(m))

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Units*: membrane in threshold units of x; 1 - d is 1 / tau.
    *Multiplies*: two sigmoids and the product with m a step, and the leak unless decay is a power of two.
    *Raises*: ConfigError for a decay outside 0..1 or a threshold of zero or less.
    *Source*: SpikingJelly ComplementaryLIFNode; nothing is detached.

    >>> CLIF()(torch.full((4, 1, 1), 0.8)).flatten().tolist()
    [0.0, 1.0, 0.0, 1.0]
    """

    def __init__(
        self,
        decay: float = 0.5,
        threshold: float = 1.0,
        *,
        strict: bool = False,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__()
        check_number("CLIF", "decay", decay, low=0, high=1)
        check_number("CLIF", "threshold", threshold, above=0)
        self.decay, self.threshold, self.strict = float(decay), float(threshold), strict
        self.surrogate = surrogate or surrogates.rectangular()

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    def rest(self, x: Float[Tensor, "T B *S"]) -> tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"]]:
        """Both potentials at zero."""
        return torch.zeros_like(x[0]), torch.zeros_like(x[0])

    def scan(
        self, x: Float[Tensor, "T B *S"], state: tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"]]
    ) -> tuple[Float[Tensor, "T B *S"], tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"]]]:
        """Spikes, and both last potentials."""
        v, m = state
        scan_input("CLIF", x, v)
        y, v, m = _clif_scan(
            x, v, m, self.decay, self.threshold, self.strict, self.surrogate.name, float(self.surrogate.alpha)
        )
        return y, (v, m)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"decay={self.decay:g}, threshold={self.threshold:g}"
