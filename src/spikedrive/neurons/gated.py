"""GLIF: learned gates choose between the leaks, integrations and resets of the literature."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.errors import ShapeError
from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.neuron import Neuron, check_count, check_number
from spikedrive.ops import equation
from spikedrive.ops import surrogate as surrogates
from spikedrive.ops.checks import scan_input
from spikedrive.ops.domain import Binary, Domain
from spikedrive.ops.surrogate import Surrogate

_GATES = ("alpha", "beta", "gamma", "leak", "threshold", "linear_leak", "reset_amount")


def _glif(
    x, v, s, alpha, beta, gamma, leak, threshold, linear_leak, reset_amount, conductance, surrogate, slope
):
    kept = 1 - alpha * (1 - leak)
    weight = 1 - beta * (1 - conductance)
    away, emptied, lowered = (1 - alpha) * linear_leak, kept * gamma, (1 - gamma) * reset_amount
    out = []
    for x_t, weight_t in zip(x.unbind(0), weight.unbind(0), strict=True):
        v = kept * v - away + weight_t * x_t - emptied * (v * s) - lowered * s
        s = equation.fire(v - threshold, surrogate, slope)
        out.append(s)
    return torch.stack(out), v, s


_glif_scan = equation.define(
    "glif_scan",
    "(Tensor x, Tensor v, Tensor s, Tensor alpha, Tensor beta, Tensor gamma, Tensor leak, Tensor threshold, "
    "Tensor linear_leak, Tensor reset_amount, Tensor conductance, str surrogate, float slope) "
    "-> (Tensor, Tensor, Tensor)",
    _glif,
    domain=lambda arguments: Binary(),
)

State = tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"], int]


@register_neuron
class GLIF(Neuron):
    """Gated leaky integrate-and-fire, with all constants learned, one set a layer or one a channel.

    *Equation*, with gates alpha (leak), beta (integration) and gamma (reset), and s the spike of the step before:

        charge  v = k v - (1 - alpha) linear_leak + (1 - beta (1 - g_t)) x_t
                    - k gamma v s - (1 - gamma) reset_amount s,    k = 1 - alpha (1 - leak)
        fire    s = 1 where v >= threshold

    Every parameter is stored before a sigmoid; g_t is the conductance of step t.

    *Shapes*: x (T, B, ...) -> (T, B, ...), with channels (T, B, C, ...); all of `steps` steps, in chunks or whole.
    *Units*: membrane in threshold units of x.
    *Multiplies*: k, the weight of the input and k gamma, three a step, unless they are powers of two.
    *Raises*: ConfigError for steps or channels below 1 and for a leak, threshold or conductance outside 0..1;
    ShapeError beyond `steps` and for another number of channels.
    *Source*: SpikingJelly GatedLIFNode (arXiv 2210.13768), whose names are tau (leak), v_threshold, linear_decay,
    v_subreset (reset_amount) and conduct; there x is (T, B, C, H, W) and the channels are always separate.

    >>> GLIF(steps=3)(torch.full((3, 1, 1), 1.5)).shape
    torch.Size([3, 1, 1])
    """

    def __init__(
        self,
        steps: int = 4,
        channels: int | None = None,
        *,
        leak: float = 0.25,
        threshold: float = 0.5,
        conductance: float = 0.5,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__()
        check_count("GLIF", "steps", steps)
        for name, value in (("leak", leak), ("threshold", threshold), ("conductance", conductance)):
            # the ends of the sigmoid's range are infinitely far
            check_number("GLIF", name, value, low=1e-6, high=1 - 1e-6)
        if channels is not None:
            check_count("GLIF", "channels", channels)
        self.steps, self.channels = int(steps), channels
        shape = () if channels is None else (int(channels),)
        start = {
            "leak": leak,
            "threshold": threshold,
            "linear_leak": threshold / (2 * steps),
            "reset_amount": threshold,
        }
        for name in _GATES:
            gate = torch.empty(shape).uniform_(-0.1, 0.1)
            value = torch.full(shape, _before_sigmoid(start[name])) if name in start else gate
            self.register_parameter(name, nn.Parameter(value))
        self.conductance = nn.Parameter(torch.full((int(steps), *shape), _before_sigmoid(conductance)))
        self.surrogate = surrogate or surrogates.sigmoid()

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    def rest(self, x: Float[Tensor, "T B *S"]) -> State:
        """No membrane, no spike, at step 0."""
        return torch.zeros_like(x[0]), torch.zeros_like(x[0]), 0

    def scan(self, x: Float[Tensor, "T B *S"], state: State) -> tuple[Float[Tensor, "T B *S"], State]:
        """Spikes; the last membrane and spike, and the number of steps so far."""
        v, s, start = state
        scan_input("GLIF", x, v)
        end = start + x.shape[0]
        if end > self.steps:
            raise ShapeError(
                f"GLIF got {end} steps in all; it takes {self.steps}, for which it has conductances. "
                f"Give fewer steps, or construct GLIF(steps={end})."
            )
        if self.channels is not None and (x.dim() < 3 or x.shape[2] != self.channels):
            raise ShapeError(
                f"GLIF got x of shape {tuple(x.shape)}; it takes (T, B, {self.channels}, ...), a channel each. "
                "Give the channels of the layer in front as channels."
            )
        ones = (1,) * (x.dim() - 3 if self.channels is not None else 0)
        gates = [getattr(self, name).sigmoid().reshape(getattr(self, name).shape + ones) for name in _GATES]
        conductance = self.conductance[start:end].sigmoid()
        y, v, s = _glif_scan(
            x, v, s, *gates, conductance.reshape(conductance.shape + ones), self.surrogate.name,
            float(self.surrogate.alpha),
        )  # fmt: skip
        return y, (v, s, end)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"steps={self.steps}, channels={self.channels}"


def _before_sigmoid(p: float) -> float:
    return math.log(p / (1 - p))
