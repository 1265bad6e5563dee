"""Signed integrate-and-fire: a spike that came too early is taken back by a negative one."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.neuron import Neuron, check_number
from spikedrive.ops import checks, equation
from spikedrive.ops import surrogate as surrogates
from spikedrive.ops.domain import Domain, Ternary
from spikedrive.ops.surrogate import Surrogate


def _equation(
    x: Tensor, v: Tensor, taken: Tensor, ceiling: Tensor, rectify: bool, surrogate: str, alpha: float
) -> tuple[Tensor, Tensor, Tensor]:
    spikes = []
    for current in x.unbind(0):
        h = v + current
        up = equation.fire(h - ceiling, surrogate, alpha)
        down = equation.fire(-h, surrogate, alpha, True)
        # the clamp changes nothing, and shows that one step holds one spike
        s = (up + torch.maximum(-down, taken)).clamp(-1, 1) if rectify else up - down
        kept = s.detach()
        v, taken = h - ceiling * kept, taken - kept
        spikes.append(s)
    # an operation returns no argument of its own
    return torch.stack(spikes) if spikes else x.clone(), v.clone(), taken.clone()


_signed_scan = equation.define(
    "signed_scan",
    "(Tensor x, Tensor v, Tensor taken, Tensor ceiling, bool rectify, str surrogate, float alpha)"
    " -> (Tensor, Tensor, Tensor)",
    _equation,
    domain=lambda arguments: Ternary(),
)


@register_neuron
class SignedIF(Neuron):
    """Integrate-and-fire with negative spikes and a count of what was emitted, so that early spikes can be taken back.

    *Equation*, with ceiling c, v = c / 2 and n = 0 at the start:

        charge  h = v + x
        fire    s = 1 where h >= c;  -1 where h < 0 and (n > 0 or not rectify);  else 0
        reset   v = h - c s,  n = n + s
        output  y = c s

    The sum of the spikes follows the rounded sum of the input, by one a step at most: after T steps of which none was
    larger than that it is clip(floor(sum(x) / c + 1/2), 0, T), in whatever order the input came. With rectify=False it
    is the same without the lower bound, for currents of both signs. The state holds v and -n.
    The slope of s is the surrogate's at h - c, plus that at -h where a spike can be taken back; the reset has none.

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Units*: the ceiling in units of x: the largest rate that comes out.
    *Multiplies*: none: the ceiling folds into the weights on both sides.
    *Raises*: ConfigError for a ceiling of zero or less.
    *Source*: the signed neuron with memory of Wang et al. (IJCAI 2022) and Fast-SNN (arXiv 2305.19868); the start at
    1/2 is that of QCFS (arXiv 2303.04347).

    >>> SignedIF()(torch.tensor([0.9, 0.9, -1.5, 0.3]).view(4, 1, 1)).flatten().tolist()
    [1.0, 1.0, -1.0, 0.0]
    """

    ceiling: Tensor

    def __init__(
        self,
        ceiling: float = 1.0,
        *,
        rectify: bool = True,
        learn_ceiling: bool = False,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__()
        check_number("SignedIF", "ceiling", ceiling, above=0)
        self.rectify, self.surrogate = rectify, surrogate or surrogates.sigmoid()
        first = torch.full((1,), float(ceiling))
        if learn_ceiling:
            self.ceiling = nn.Parameter(first)
        else:
            self.register_buffer("ceiling", first)

    @property
    def domain(self) -> Domain:
        """Ternary times the ceiling."""
        # on the meta device there are shapes and no numbers
        return Ternary(1.0 if self.ceiling.is_meta else float(self.ceiling.detach()))

    def rest(self, x: Float[Tensor, "T B *S"]) -> tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"]]:
        """Half a ceiling, which rounds to nearest, and no spike yet."""
        return torch.zeros_like(x[0]) + self.ceiling.to(x.dtype) / 2, torch.zeros_like(x[0])

    def scan(
        self, x: Float[Tensor, "T B *S"], state: tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"]]
    ) -> tuple[Float[Tensor, "T B *S"], tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"]]]:
        """Spikes times the ceiling; the last membrane and minus the number of spikes that can be taken back."""
        checks.scan_input("SignedIF", x, state[0])
        ceiling = self.ceiling.to(x.dtype)
        s, v, taken = _signed_scan(
            x, state[0], state[1], ceiling, self.rectify, self.surrogate.name, self.surrogate.alpha
        )
        return s * ceiling, (v, taken)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"rectify={self.rectify}"
