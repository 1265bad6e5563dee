"""KLIF: a learned slope, and a rectifier, between the membrane and the threshold."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.firing import FIRING, FiringNeuron, Reset
from spikedrive.neurons.neuron import check_number
from spikedrive.ops import equation
from spikedrive.ops.checks import scan_input
from spikedrive.ops.domain import Binary
from spikedrive.ops.surrogate import Surrogate


def _klif(
    x, v, k, decay, decay_input, scale_reset, threshold, hard_reset, reset_value, strict, detach_reset, surrogate,
    alpha,
):  # fmt: skip
    gain = 1 - decay if decay_input else 1.0
    towards = (1 - decay) * reset_value if hard_reset else 0.0
    out = []
    for x_t in x.unbind(0):
        h = torch.relu(k * (decay * v + gain * x_t + towards))
        s = equation.fire(h - threshold, surrogate, alpha, strict)
        kept, step = (h / k, threshold / k) if scale_reset else (h, threshold)
        v = equation.reset(kept, s, step, hard_reset, reset_value, detach_reset)
        out.append(s)
    return torch.stack(out), v


_klif_scan = equation.define(
    "klif_scan",
    f"(Tensor x, Tensor v, Tensor k, float decay, bool decay_input, bool scale_reset, {FIRING}) -> (Tensor, Tensor)",
    _klif,
    domain=lambda arguments: Binary(),
)


@register_neuron
class KLIF(FiringNeuron):
    """LIF whose membrane passes a rectifier with a learned slope k, one for the layer.

    *Equation*, with decay d and reset value r (0 for a soft reset):

        charge  h = relu(k (d v + (1 - d)(r + x)))    (decay_input=True)
                h = relu(k (d v + (1 - d) r + x))     (decay_input=False)
        fire    s = 1 where h >= threshold            (> with strict=True)
        reset   as in `LIF`; with scale_reset=True on h / k, by threshold / k

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Units*: membrane in threshold units of x.
    *Multiplies*: k, one a step, unless it is a power of two (1 at the start); the division by k with scale_reset;
    the leak unless decay is a power of two.
    *Raises*: ConfigError for a decay outside 0..1, k or a threshold of zero or less.
    *Source*: SpikingJelly KLIFNode; its key `k` has shape ().

    >>> KLIF()(torch.full((3, 1, 1), 1.5)).flatten().tolist()
    [0.0, 1.0, 0.0]
    """

    def __init__(
        self,
        decay: float = 0.5,
        threshold: float = 1.0,
        *,
        k: float = 1.0,
        scale_reset: bool = False,
        decay_input: bool = True,
        reset: Reset = "hard",
        reset_value: float = 0.0,
        strict: bool = False,
        detach_reset: bool = True,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__(
            threshold, reset=reset, reset_value=reset_value, strict=strict, detach_reset=detach_reset,
            surrogate=surrogate,
        )  # fmt: skip
        check_number("KLIF", "decay", decay, low=0, high=1)
        check_number("KLIF", "k", k, above=0)
        self.k = nn.Parameter(torch.tensor(float(k)))
        self.decay, self.decay_input, self.scale_reset = float(decay), decay_input, scale_reset

    def rest(self, x: Float[Tensor, "T B *S"]) -> Float[Tensor, "B *S"]:
        """The membrane at its reset value; zero for a soft reset."""
        return self.membrane_at_rest(x)

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S"]
    ) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "B *S"]]:
        """Spikes and the last membrane."""
        scan_input("KLIF", x, state)
        return _klif_scan(x, state, self.k, self.decay, self.decay_input, self.scale_reset, *self.firing)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"decay={self.decay:g}, threshold={self.threshold:g}, reset={self.reset}"
