"""The leaky neuron of the temporal and the spatial attention networks."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.neuron import Neuron, check_number
from spikedrive.ops import checks, equation
from spikedrive.ops import surrogate as surrogates
from spikedrive.ops.domain import Binary, Domain
from spikedrive.ops.surrogate import Surrogate


@register_neuron
class AttentionLIF(Neuron):
    """A leaky neuron that resets before it leaks, behind `TemporalAttention` or `SpatialAttention`.

    *Equation*, with decay d, reset value r and offset b, from v = 0:

        charge  h = v + x
        fire    s = 1 where h >= threshold
        reset   v = d (r s + (1 - s) h) + b      (s is not detached, unless detach_reset)

    | published form | arguments |
    |---|---|
    | ASA-SNN | the defaults |
    | TA-SNN | reset_value=threshold, as its code has it |

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Units*: membrane in threshold units of x.
    *Multiplies*: the leak, one a step, unless d is a power of two.
    *Raises*: ConfigError for a decay outside 0..1 or a threshold of zero or less.
    *Source*: ASA-SNN (ICCV 2023) and TA-SNN (ICCV 2021). `LIF` leaks towards its reset value instead, so a
    reset value other than zero means another neuron there.

    >>> AttentionLIF()(torch.full((3, 1, 1), 0.25)).flatten().tolist()
    [0.0, 1.0, 0.0]
    """

    def __init__(
        self,
        decay: float = 0.3,
        threshold: float = 0.3,
        *,
        reset_value: float = 0.0,
        offset: float = 0.0,
        detach_reset: bool = False,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__()
        check_number("AttentionLIF", "decay", decay, low=0, high=1)
        check_number("AttentionLIF", "threshold", threshold, above=0)
        self.decay, self.threshold = float(decay), float(threshold)
        self.reset_value, self.offset, self.detach_reset = float(reset_value), float(offset), detach_reset
        # without input the membrane creeps up to b / (1 - d)
        self.silent_at_zero = offset <= 0 or offset < threshold * (1 - decay)
        self.surrogate = surrogate or surrogates.rectangular(0.5)

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    def rest(self, x: Float[Tensor, "T B *S"]) -> Float[Tensor, "B *S"]:
        """A membrane of zero."""
        return torch.zeros_like(x[0])

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S"]
    ) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "B *S"]]:
        """Spikes and the last membrane."""
        checks.scan_input("AttentionLIF", x, state)
        return attention_lif_scan(
            x, state, self.decay, self.threshold, self.reset_value, self.offset, self.detach_reset,
            self.surrogate.name, self.surrogate.alpha,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"decay={self.decay:g}, threshold={self.threshold:g}, reset_value={self.reset_value:g}"


def _equation(
    x: Tensor,
    v: Tensor,
    decay: float,
    threshold: float,
    reset_value: float,
    offset: float,
    detach_reset: bool,
    surrogate: str,
    alpha: float,
) -> tuple[Tensor, Tensor]:
    spikes = []
    for x_t in x.unbind(0):
        h = v + x_t
        s = equation.fire(h - threshold, surrogate, alpha)
        v = decay * equation.reset(h, s, threshold, True, reset_value, detach_reset) + offset
        spikes.append(s)
    return torch.stack(spikes), v


attention_lif_scan = equation.define(
    "attention_lif_scan",
    "(Tensor x, Tensor v, float decay, float threshold, float reset_value, float offset, bool detach_reset, "
    "str surrogate, float alpha) -> (Tensor, Tensor)",
    _equation,
    domain=lambda _: Binary(),
)
