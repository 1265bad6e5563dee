"""The adaptive neuron: a threshold that rises with every spike."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.firing import FIRING, FiringNeuron, Reset
from spikedrive.neurons.neuron import check_number
from spikedrive.ops import equation
from spikedrive.ops.checks import scan_input
from spikedrive.ops.domain import Binary
from spikedrive.ops.surrogate import Surrogate


def _alif(
    x, v, a, decay, decay_input, trace_decay, trace_gain, beta, subtract_base, threshold, hard_reset, reset_value,
    strict, detach_reset, surrogate, alpha,
):  # fmt: skip
    gain = 1 - decay if decay_input else 1.0
    towards = (1 - decay) * reset_value if hard_reset else 0.0
    out = []
    for x_t in x.unbind(0):
        h = decay * v + gain * x_t + towards
        raised = beta * a + threshold
        s = equation.fire(h - raised, surrogate, alpha, strict)
        v = equation.reset(
            h, s, threshold if subtract_base else raised, hard_reset, reset_value, detach_reset
        )
        a = trace_decay * a + trace_gain * s
        out.append(s)
    return torch.stack(out), v, a


_alif_scan = equation.define(
    "alif_scan",
    "(Tensor x, Tensor v, Tensor a, float decay, bool decay_input, float trace_decay, float trace_gain, float beta, "
    f"bool subtract_base, {FIRING}) -> (Tensor, Tensor, Tensor)",
    _alif,
    domain=lambda arguments: Binary(),
)


@register_neuron
class ALIF(FiringNeuron):
    """LIF with an adaptive threshold: each spike leaves a trace a that raises it.

    *Equation*, with decay d, reset value r (0 for a soft reset) and decay p of the trace:

        charge  h = d v + (1 - d)(r + x)             (decay_input=True)
                h = d v + (1 - d) r + x              (decay_input=False)
        fire    s = 1 where h >= threshold + beta a  (> with strict=True)
        reset   v = h - (threshold + beta a) s       (reset="soft")
                v = h - threshold s                  (reset="soft", subtract_base=True)
                v = h where s = 0, r where s = 1     (reset="hard")
        adapt   a = p a + s                          (a = p a + (1 - p) s with scale_trace=True)

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Units*: membrane in threshold units of x; a in spikes; p is exp(-1 / tau_a), tau_a in steps.
    *Multiplies*: beta a and the two leaks, one each a step, unless the constants are powers of two; with a soft
    reset of the raised threshold a spike selects it.
    *Raises*: ConfigError for a decay outside 0..1, beta below zero or a threshold of zero or less.
    *Source*: Bellec and others 2018 (arXiv 1803.09574, the soft reset by the raised threshold) and 2020
    (subtract_base=True). From the equations; no code was run against it.

    >>> ALIF(decay_input=False)(torch.full((4, 1, 1), 1.2)).flatten().tolist()
    [1.0, 0.0, 0.0, 0.0]
    """

    def __init__(
        self,
        decay: float = 0.5,
        threshold: float = 1.0,
        *,
        trace_decay: float = 0.96875,
        beta: float = 1.8,
        scale_trace: bool = False,
        subtract_base: bool = False,
        decay_input: bool = True,
        reset: Reset = "soft",
        reset_value: float = 0.0,
        strict: bool = False,
        detach_reset: bool = True,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__(
            threshold, reset=reset, reset_value=reset_value, strict=strict, detach_reset=detach_reset,
            surrogate=surrogate,
        )  # fmt: skip
        check_number("ALIF", "decay", decay, low=0, high=1)
        check_number("ALIF", "trace_decay", trace_decay, low=0, high=1)
        check_number("ALIF", "beta", beta, low=0)
        self.decay, self.trace_decay, self.beta = float(decay), float(trace_decay), float(beta)
        self.scale_trace, self.subtract_base, self.decay_input = scale_trace, subtract_base, decay_input

    def rest(self, x: Float[Tensor, "T B *S"]) -> tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"]]:
        """The membrane at its reset value, zero for a soft reset; no trace."""
        return self.membrane_at_rest(x), torch.zeros_like(x[0])

    def scan(
        self, x: Float[Tensor, "T B *S"], state: tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"]]
    ) -> tuple[Float[Tensor, "T B *S"], tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"]]]:
        """Spikes, and the last membrane and trace."""
        v, a = state
        scan_input("ALIF", x, v)
        y, v, a = _alif_scan(
            x, v, a, self.decay, self.decay_input, self.trace_decay,
            1 - self.trace_decay if self.scale_trace else 1.0, self.beta, self.subtract_base, *self.firing,
        )  # fmt: skip
        return y, (v, a)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return (
            f"decay={self.decay:g}, threshold={self.threshold:g}, trace_decay={self.trace_decay:g}, "
            f"beta={self.beta:g}"
        )
