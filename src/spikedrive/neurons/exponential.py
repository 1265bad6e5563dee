"""The exponential integrate-and-fire neuron: a spike that starts by itself."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.firing import FIRING, FiringNeuron, Reset, fire_and_reset
from spikedrive.neurons.neuron import check_number
from spikedrive.ops import equation
from spikedrive.ops.checks import scan_input
from spikedrive.ops.domain import Binary
from spikedrive.ops.surrogate import Surrogate


def _eif(x, v, tau, delta, v_rest, v_onset, *firing):
    out = []
    for x_t in x.unbind(0):
        h = v + (x_t + v_rest - v + delta * torch.exp((v - v_onset) / delta)) / tau
        s, v = fire_and_reset(h, *firing)
        out.append(s)
    return torch.stack(out), v


_eif_scan = equation.define(
    "eif_scan",
    f"(Tensor x, Tensor v, float tau, float delta, float v_rest, float v_onset, {FIRING}) -> (Tensor, Tensor)",
    _eif,
    domain=lambda arguments: Binary(),
)


@register_neuron
class EIF(FiringNeuron):
    """Exponential integrate-and-fire.

    *Equation*, with sharpness delta and rheobase v_onset:

        charge  h = v + (x + v_rest - v + delta exp((v - v_onset) / delta)) / tau
        fire    s = 1 where h >= threshold        (> with strict=True)
        reset   as in `LIF`

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Units*: membrane in threshold units of x, tau in steps. With the defaults there is no resting point: the
    neuron fires now and then without input.
    *Multiplies*: one exponential a step, and the constants delta and 1 / tau where they are no powers of two.
    *Raises*: ConfigError for tau of 1 or less, delta or a threshold of zero or less.
    *Source*: SpikingJelly EIFNode (delta_T, theta_rh there).

    >>> EIF()(torch.full((3, 1, 1), 1.5)).flatten().tolist()
    [0.0, 1.0, 0.0]
    """

    def __init__(
        self,
        tau: float = 2.0,
        threshold: float = 1.0,
        *,
        delta: float = 1.0,
        v_rest: float = 0.0,
        v_onset: float = 0.8,
        reset: Reset = "hard",
        reset_value: float = -0.1,
        strict: bool = False,
        detach_reset: bool = True,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__(
            threshold, reset=reset, reset_value=reset_value, strict=strict, detach_reset=detach_reset,
            surrogate=surrogate,
        )  # fmt: skip
        check_number("EIF", "tau", tau, above=1)
        check_number("EIF", "delta", delta, above=0)
        self.tau, self.delta = float(tau), float(delta)
        self.v_rest, self.v_onset = float(v_rest), float(v_onset)

    @property
    def silent_at_zero(self) -> bool:  # type: ignore[override]
        """Whether the membrane has a resting point below the onset, and the threshold lies above that."""
        return self.delta + self.v_rest <= self.v_onset < self.threshold

    def rest(self, x: Float[Tensor, "T B *S"]) -> Float[Tensor, "B *S"]:
        """The membrane at its reset value; zero for a soft reset."""
        return self.membrane_at_rest(x)

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S"]
    ) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "B *S"]]:
        """Spikes and the last membrane."""
        scan_input("EIF", x, state)
        return _eif_scan(x, state, self.tau, self.delta, self.v_rest, self.v_onset, *self.firing)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return (
            f"tau={self.tau:g}, threshold={self.threshold:g}, delta={self.delta:g}, v_onset={self.v_onset:g}"
        )
