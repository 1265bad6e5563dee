"""TC-LIF: a dendrite that remembers and a soma that fires."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.neuron import Neuron, check_number
from spikedrive.ops import equation
from spikedrive.ops import surrogate as surrogates
from spikedrive.ops.checks import scan_input
from spikedrive.ops.domain import Binary, Domain
from spikedrive.ops.surrogate import Surrogate


def _tclif(x, dendrite, soma, back, forth, reset_dendrite, threshold, strict, detach_reset, surrogate, alpha):
    out = []
    for x_t in x.unbind(0):
        dendrite = dendrite - back * soma + x_t
        soma = soma + forth * dendrite
        s = equation.fire(soma - threshold, surrogate, alpha, strict)
        kept = s.detach() if detach_reset else s
        dendrite, soma = dendrite - reset_dendrite * kept, soma - threshold * kept
        out.append(s)
    return torch.stack(out), dendrite, soma


_tclif_scan = equation.define(
    "tclif_scan",
    "(Tensor x, Tensor dendrite, Tensor soma, Tensor back, Tensor forth, float reset_dendrite, float threshold, "
    "bool strict, bool detach_reset, str surrogate, float alpha) -> (Tensor, Tensor, Tensor)",
    _tclif,
    domain=lambda arguments: Binary(),
)


@register_neuron
class TCLIF(Neuron):
    """Two-compartment LIF: the soma holds the dendrite back, the dendrite drives the soma.

    *Equation*, with dendrite u, soma v, and the learned scalars c1 and c2 of the layer:

        charge  u = u - sigmoid(c1) v + x
                v = v + sigmoid(c2) u
        fire    s = 1 where v >= threshold        (> with strict=True)
        reset   u = u - reset_dendrite s,  v = v - threshold s

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Units*: both potentials in threshold units of x.
    *Multiplies*: the two couplings, one each a step, unless sigmoid(c) is a power of two (1/2 at the start is).
    *Raises*: ConfigError for a threshold of zero or less or a reset_dendrite below zero.
    *Source*: TC-LIF (arXiv 2308.13250), equations with its reset of step t - 1 written at the end of the step
    before, which is the same. From the equations; no code was run against it.

    >>> TCLIF()(torch.full((4, 1, 1), 1.0)).flatten().tolist()
    [0.0, 1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        threshold: float = 1.0,
        *,
        reset_dendrite: float = 0.5,
        strict: bool = False,
        detach_reset: bool = False,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__()
        check_number("TCLIF", "threshold", threshold, above=0)
        check_number("TCLIF", "reset_dendrite", reset_dendrite, low=0)
        self.c1, self.c2 = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor(0.0))
        self.threshold, self.reset_dendrite = float(threshold), float(reset_dendrite)
        self.strict, self.detach_reset = strict, detach_reset
        self.surrogate = surrogate or surrogates.triangle()

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    def rest(self, x: Float[Tensor, "T B *S"]) -> tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"]]:
        """Dendrite and soma at zero."""
        return torch.zeros_like(x[0]), torch.zeros_like(x[0])

    def scan(
        self, x: Float[Tensor, "T B *S"], state: tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"]]
    ) -> tuple[Float[Tensor, "T B *S"], tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"]]]:
        """Spikes, and the last dendrite and soma."""
        dendrite, soma = state
        scan_input("TCLIF", x, soma)
        y, dendrite, soma = _tclif_scan(
            x, dendrite, soma, self.c1.sigmoid(), self.c2.sigmoid(), self.reset_dendrite, self.threshold,
            self.strict, self.detach_reset, self.surrogate.name, float(self.surrogate.alpha),
        )  # fmt: skip
        return y, (dendrite, soma)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"threshold={self.threshold:g}, reset_dendrite={self.reset_dendrite:g}"
