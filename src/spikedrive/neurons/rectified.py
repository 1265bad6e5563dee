"""Soft reset with the membrane potential rectifier of Re-Loss."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.neuron import Neuron, check_number
from spikedrive.ops import equation
from spikedrive.ops.checks import scan_input
from spikedrive.ops.domain import Binary, Domain

_STEEPNESS = 3.0


def rectify(u: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """The membrane pulled towards 0 and 1, and compressed beyond.

    *Equation*: u^(1/3) where u > 1; 1 - (1 - u)^(1/3) where u < 0; (tanh(3 (u - 1/2)) / tanh(3/2) + 1) / 2
    between; 0 and 1 stay, with slope 1.
    *Source*: Re-Loss (ECCV 2022), MPR.
    """
    inside = torch.tanh(_STEEPNESS * (u - 0.5)) / (2 * math.tanh(_STEEPNESS / 2)) + 0.5
    # the roots only of what is above 1, so that no branch gives an infinite slope
    above, below = u.clamp(min=1).pow(1 / 3), 1 - (1 - u.clamp(max=0)).pow(1 / 3)
    return torch.where(u > 1, above, torch.where(u < 0, below, torch.where((u == 0) | (u == 1), u, inside)))


class _RectifiedFire(torch.autograd.Function):
    """1 where u > 1/2; backward the slope of the rectifier where it gives 0..1, which is where u is in 0..1."""

    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        ctx.save_for_backward(u)
        return (u > 0.5).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        (u,) = ctx.saved_tensors
        slope = _STEEPNESS / (2 * math.tanh(_STEEPNESS / 2)) * (1 - torch.tanh(_STEEPNESS * (u - 0.5)) ** 2)
        slope = torch.where((u == 0) | (u == 1), torch.ones_like(u), slope)
        return grad * slope * ((u >= 0) & (u <= 1)).to(u.dtype)


def _mpr(x, v, decay):
    out = []
    for x_t in x.unbind(0):
        h = decay * v + x_t
        tracked = torch.is_grad_enabled() and h.requires_grad
        s = _RectifiedFire.apply(h) if tracked else equation.fire(h - 0.5, "rectangular", 1.0, True)
        v = h - s
        out.append(s)
    return torch.stack(out), v


_mpr_scan = equation.define(
    "mpr_scan",
    "(Tensor x, Tensor v, float decay) -> (Tensor, Tensor)",
    _mpr,
    domain=lambda arguments: Binary(),
)


@register_neuron
class MPRLIF(Neuron):
    """Soft-reset LIF trained through the membrane potential rectifier.

    *Equation*, with decay d and the rectifier q = `rectify`:

        charge  h = d v + x
        fire    s = 1 where q(h) > 1/2, which is h > 1/2
        reset   v = h - s

    Backward: ds/dh is the slope of q where 0 <= h <= 1, else 0. The rectifier changes gradients, and no spike.

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Units*: a spike takes 1 off the membrane and needs half of it.
    *Multiplies*: none where decay is a power of two, otherwise the leak, one a step.
    *Raises*: ConfigError for a decay outside 0..1.
    *Source*: Re-Loss (ECCV 2022) as its code has it, with decay 1; the paper leaks.

    >>> MPRLIF()(torch.tensor([0.4, 0.4, -0.4]).view(3, 1, 1)).flatten().tolist()
    [0.0, 1.0, 0.0]
    """

    def __init__(self, decay: float = 1.0) -> None:
        super().__init__()
        check_number("MPRLIF", "decay", decay, low=0, high=1)
        self.decay = float(decay)

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    def rest(self, x: Float[Tensor, "T B *S"]) -> Float[Tensor, "B *S"]:
        """No membrane."""
        return torch.zeros_like(x[0])

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S"]
    ) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "B *S"]]:
        """Spikes and the last membrane."""
        scan_input("MPRLIF", x, state)
        return _mpr_scan(x, state, self.decay)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"decay={self.decay:g}"
