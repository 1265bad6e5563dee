"""Neurons whose membrane runs up a parabola: QIF, and Izhikevich's with its recovery variable."""

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


def _qif(x, v, tau, a0, v_rest, v_c, *firing):
    out = []
    for x_t in x.unbind(0):
        h = v + (x_t + a0 * ((v - v_rest) * (v - v_c))) / tau
        s, v = fire_and_reset(h, *firing)
        out.append(s)
    return torch.stack(out), v


def _izhikevich(x, v, w, tau, a0, v_rest, v_c, tau_w, a, b, *firing):
    out = []
    for x_t in x.unbind(0):
        h = v + (x_t + a0 * ((v - v_rest) * (v - v_c)) - w) / tau
        s, v = fire_and_reset(h, *firing)
        w = w + (a * (h - v_rest) - w) / tau_w + b * s
        out.append(s)
    return torch.stack(out), v, w


_qif_scan = equation.define(
    "qif_scan",
    f"(Tensor x, Tensor v, float tau, float a0, float v_rest, float v_c, {FIRING}) -> (Tensor, Tensor)",
    _qif,
    domain=lambda arguments: Binary(),
)
_izhikevich_scan = equation.define(
    "izhikevich_scan",
    "(Tensor x, Tensor v, Tensor w, float tau, float a0, float v_rest, float v_c, float tau_w, float a, float b, "
    f"{FIRING}) -> (Tensor, Tensor, Tensor)",
    _izhikevich,
    domain=lambda arguments: Binary(),
)


@register_neuron
class QIF(FiringNeuron):
    """Quadratic integrate-and-fire.

    *Equation*:

        charge  h = v + (x + a0 (v - v_rest)(v - v_c)) / tau
        fire    s = 1 where h >= threshold        (> with strict=True)
        reset   as in `LIF`

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Units*: membrane in threshold units of x, tau in steps; above v_c the membrane rises by itself.
    *Multiplies*: the square of the membrane, one a step, and the constants a0 and 1 / tau where they are no
    powers of two.
    *Raises*: ConfigError for tau of 1 or less, a0 or a threshold of zero or less.
    *Source*: SpikingJelly QIFNode.

    >>> QIF()(torch.full((3, 1, 1), 1.5)).flatten().tolist()
    [0.0, 1.0, 0.0]
    """

    def __init__(
        self,
        tau: float = 2.0,
        threshold: float = 1.0,
        *,
        a0: float = 1.0,
        v_rest: float = 0.0,
        v_c: float = 0.8,
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
        check_number("QIF", "tau", tau, above=1)
        check_number("QIF", "a0", a0, above=0)
        self.tau, self.a0, self.v_rest, self.v_c = float(tau), float(a0), float(v_rest), float(v_c)

    def rest(self, x: Float[Tensor, "T B *S"]) -> Float[Tensor, "B *S"]:
        """The membrane at its reset value; zero for a soft reset."""
        return self.membrane_at_rest(x)

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S"]
    ) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "B *S"]]:
        """Spikes and the last membrane."""
        scan_input("QIF", x, state)
        return _qif_scan(x, state, self.tau, self.a0, self.v_rest, self.v_c, *self.firing)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"tau={self.tau:g}, threshold={self.threshold:g}, a0={self.a0:g}, v_c={self.v_c:g}"


@register_neuron
class Izhikevich(FiringNeuron):
    """Izhikevich's neuron: a quadratic membrane and a recovery variable w that follows it.

    *Equation*:

        charge   h = v + (x + a0 (v - v_rest)(v - v_c) - w) / tau
        fire     s = 1 where h >= threshold        (> with strict=True)
        recover  w = w + (a (h - v_rest) - w) / tau_w + b s
        reset    as in `LIF`

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Units*: membrane in threshold units of x, tau and tau_w in steps.
    *Multiplies*: the square of the membrane, one a step, and the constants a0, a, 1 / tau and 1 / tau_w where
    they are no powers of two.
    *Raises*: ConfigError for tau or tau_w of 1 or less, a0 or a threshold of zero or less.
    *Source*: SpikingJelly IzhikevichNode; w follows h before the reset, and its spike carries a gradient.

    >>> Izhikevich(b=1.0)(torch.full((4, 1, 1), 2.5)).flatten().tolist()
    [1.0, 0.0, 1.0, 0.0]
    """

    def __init__(
        self,
        tau: float = 2.0,
        threshold: float = 1.0,
        *,
        a0: float = 1.0,
        v_rest: float = -0.1,
        v_c: float = 0.8,
        tau_w: float = 2.0,
        a: float = 0.0,
        b: float = 0.0,
        w_rest: float = 0.0,
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
        check_number("Izhikevich", "tau", tau, above=1)
        check_number("Izhikevich", "tau_w", tau_w, above=1)
        check_number("Izhikevich", "a0", a0, above=0)
        self.tau, self.a0, self.v_rest, self.v_c = float(tau), float(a0), float(v_rest), float(v_c)
        self.tau_w, self.a, self.b, self.w_rest = float(tau_w), float(a), float(b), float(w_rest)

    def rest(self, x: Float[Tensor, "T B *S"]) -> tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"]]:
        """The membrane as in `QIF`, and w at `w_rest`."""
        return self.membrane_at_rest(x), torch.full_like(x[0], self.w_rest)

    def scan(
        self, x: Float[Tensor, "T B *S"], state: tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"]]
    ) -> tuple[Float[Tensor, "T B *S"], tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"]]]:
        """Spikes, and the last membrane and w."""
        v, w = state
        scan_input("Izhikevich", x, v)
        y, v, w = _izhikevich_scan(
            x, v, w, self.tau, self.a0, self.v_rest, self.v_c, self.tau_w, self.a, self.b, *self.firing
        )
        return y, (v, w)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"tau={self.tau:g}, threshold={self.threshold:g}, a={self.a:g}, b={self.b:g}"
