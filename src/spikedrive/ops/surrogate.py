"""Surrogate gradients: what stands for the derivative of the Heaviside step.

Each takes u = h - threshold and one constant alpha, and gives ds/du. An operation hands a surrogate on as
its name and its constant, so any further constant of an original is fixed by the name and written into
the equation; `add_form` adds a form of one's own.

Left out: snnTorch's `triangular`, whose slope is constant and only flips its sign at the threshold (the
triangle that is meant is `triangle`); snnTorch's `LSO`, which calls its stochastic operator by mistake, and
the stochastic operators themselves, which are no function of u; SpikingJelly's `MultiLevelSpikeCount`,
which belongs to integers (`ILIF` has its gate).
Source: SpikingJelly 2.0.0 and snnTorch 1.0.0, their default constants; SLTT for the closed rectangle, MPBN
for the window of the hyperbolic tangent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from spikedrive.errors import ConfigError, unknown_name

Gradient = Callable[[Tensor, float], Tensor]
"""`gradient(u, alpha)`: ds/du, of the shape and dtype of u."""


@dataclass(frozen=True)
class Form:
    """One closed form: its equation in u and alpha, alpha's default, and what the originals call it.

    alpha must lie above `above`, or may equal it with `closed`.
    """

    equation: str
    default: float
    original: str
    above: float = 0.0
    closed: bool = False


FORMS: dict[str, Form] = {}
"""What there is, by name; the table of the docs is drawn from it."""

GRADIENTS: dict[str, Gradient] = {}
"""The gradient of each form."""


def add_form(name: str, form: Form) -> Callable[[Gradient], Gradient]:
    """Decorator: make `gradient(u, alpha)` a surrogate of that name, for every neuron that takes one."""
    if name in FORMS:
        raise ConfigError(f"A surrogate named {name!r} exists already; names are unique. Choose another.")

    def register(gradient: Gradient) -> Gradient:
        FORMS[name], GRADIENTS[name] = form, gradient
        return gradient

    return register


@dataclass(frozen=True)
class Surrogate:
    """A named surrogate and its one constant `alpha`; `FORMS` holds the equation of each name.

    *Raises*: UnknownNameError for a name without a form; ConfigError for an alpha outside the form's range.

    >>> Surrogate("sigmoid", 4.0).gradient(torch.zeros(1)).item()
    1.0
    """

    name: str
    alpha: float

    def __post_init__(self) -> None:
        if self.name not in FORMS:
            raise unknown_name("surrogate", self.name, FORMS)
        form = FORMS[self.name]
        # written so that NaN fails too
        if not (
            math.isfinite(self.alpha)
            and (self.alpha > form.above or (form.closed and self.alpha == form.above))
        ):
            bound = f"of at least {form.above:g}" if form.closed else f"above {form.above:g}"
            raise ConfigError(
                f"Surrogate {self.name} got alpha {self.alpha}; it takes a number {bound}. Try {form.default:g}."
            )

    def gradient(self, u: Tensor) -> Tensor:
        """ds/du at u = h - threshold, same shape."""
        return GRADIENTS[self.name](u, self.alpha)


@add_form("sigmoid", Form("alpha p (1 - p), p = 1 / (1 + exp(-alpha u))", 4.0,
                          "SpikingJelly Sigmoid (4), snnTorch sigmoid (25)"))  # fmt: skip
def _sigmoid(u: Tensor, alpha: float) -> Tensor:
    p = torch.sigmoid(alpha * u)
    return alpha * p * (1 - p)


@add_form("atan", Form("(alpha / 2) / (1 + (pi / 2 alpha u)^2)", 2.0, "SpikingJelly ATan, snnTorch atan"))
def _atan(u: Tensor, alpha: float) -> Tensor:
    return alpha / 2 / (1 + (torch.pi / 2 * alpha * u) ** 2)


@add_form("rectangular", Form("1 / alpha where |u| < alpha / 2, else 0", 1.0,
                              "SpikingJelly Rect (its alpha is ours inverted), STBP, tdBN"))  # fmt: skip
def _rectangular(u: Tensor, alpha: float) -> Tensor:
    return (u.abs() < alpha / 2).to(u.dtype) / alpha


@add_form("rectangular_closed", Form("1 / alpha where |u| <= alpha / 2, else 0", 1.0, "SLTT Rectangle"))
def _rectangular_closed(u: Tensor, alpha: float) -> Tensor:
    return (u.abs() <= alpha / 2).to(u.dtype) / alpha


@add_form("triangle", Form("max(0, alpha - |u|) / alpha^2", 1.0,
                           "SpikingJelly PiecewiseQuadratic (its alpha is ours inverted), SLTT"))  # fmt: skip
def _triangle(u: Tensor, alpha: float) -> Tensor:
    return (alpha - u.abs()).clamp(min=0) / alpha**2


@add_form("exponential", Form("alpha / 2 exp(-alpha |u|)", 1.0, "SpikingJelly PiecewiseExp"))
def _exponential(u: Tensor, alpha: float) -> Tensor:
    return alpha / 2 * torch.exp(-alpha * u.abs())


@add_form("soft_sign", Form("1 / (2 alpha (1 / alpha + |u|)^2)", 2.0, "SpikingJelly SoftSign"))
def _soft_sign(u: Tensor, alpha: float) -> Tensor:
    return 1 / (2 * alpha * (1 / alpha + u.abs()) ** 2)


@add_form("super_spike", Form("alpha / (1 + |u|)^2", 1.0, "SpikingJelly SuperSpike"))
def _super_spike(u: Tensor, alpha: float) -> Tensor:
    return alpha / (1 + u.abs()) ** 2


@add_form("fast_sigmoid", Form("1 / (1 + alpha |u|)^2", 25.0, "snnTorch fast_sigmoid"))
def _fast_sigmoid(u: Tensor, alpha: float) -> Tensor:
    return 1 / (1 + alpha * u.abs()) ** 2


@add_form("sparse_fast_sigmoid", Form("1 / (1 + alpha |u|)^2 where u > 1, else 0", 25.0,
                                      "snnTorch SFS (B = 1)"))  # fmt: skip
def _sparse_fast_sigmoid(u: Tensor, alpha: float) -> Tensor:
    return _fast_sigmoid(u, alpha) * (u > 1).to(u.dtype)


@add_form("erf", Form("alpha / sqrt(pi) exp(-alpha^2 u^2)", 2.0, "SpikingJelly Erf"))
def _erf(u: Tensor, alpha: float) -> Tensor:
    return alpha / math.sqrt(math.pi) * torch.exp(-((alpha * u) ** 2))


@add_form("log_abs", Form("1 / (1 / alpha + |u|)", 1.0, "SpikingJelly NonzeroSignLogAbs"))
def _log_abs(u: Tensor, alpha: float) -> Tensor:
    return 1 / (1 / alpha + u.abs())


@add_form("leaky_rectangular", Form("1 / (2 alpha) where |u| < alpha, else 0.01", 1.0,
                                    "SpikingJelly PiecewiseLeakyReLU (c = 0.01)"))  # fmt: skip
def _leaky_rectangular(u: Tensor, alpha: float) -> Tensor:
    # two plain numbers in torch.where would meet in fp32, whatever u is
    within = (u.abs() < alpha).to(u.dtype)
    return within / (2 * alpha) + (1 - within) * 0.01


@add_form("fourier", Form("4 / alpha cos(2 pi u / alpha)", 8.0,
                          "SpikingJelly SquarewaveFourierSeries (n = 2, one term)"))  # fmt: skip
def _fourier(u: Tensor, alpha: float) -> Tensor:
    return 4 / alpha * torch.cos(2 * torch.pi / alpha * u)


@add_form("s2nn", Form("alpha p (1 - p), p = 1 / (1 + exp(-alpha u)), where u < 0, else 1 / (1 + u)", 4.0,
                       "SpikingJelly S2NN (beta = 1)"))  # fmt: skip
def _s2nn(u: Tensor, alpha: float) -> Tensor:
    return torch.where(u < 0, _sigmoid(u, alpha), 1 / (1 + u.abs()))


@add_form(
    "q_pseudo_spike", Form("(1 + 2 / (alpha - 1) |u|)^-alpha", 2.0, "SpikingJelly QPseudoSpike", above=1.0)
)
def _q_pseudo_spike(u: Tensor, alpha: float) -> Tensor:
    return (1 + 2 / (alpha - 1) * u.abs()) ** -alpha


@add_form("relu", Form("alpha where u >= 0, else 0", 1.0, "SpikingJelly LeakyKReLU (leak = 0)"))
def _relu(u: Tensor, alpha: float) -> Tensor:
    return alpha * (u >= 0).to(u.dtype)


@add_form("heaviside", Form("alpha where u > 0, else 0", 1.0, "snnTorch Heaviside (the spike itself)"))
def _heaviside(u: Tensor, alpha: float) -> Tensor:
    return alpha * (u > 0).to(u.dtype)


@add_form("log_tailed_relu", Form("alpha where u <= 0, 1 where 0 < u <= 1, 1 / u beyond", 0.0,
                                  "SpikingJelly LogTailedReLU", closed=True))  # fmt: skip
def _log_tailed_relu(u: Tensor, alpha: float) -> Tensor:
    return torch.where(u <= 0, alpha, 1 / u.clamp(min=1))


@add_form("numerical", Form("min(1 / |u|, alpha)", 0.3, "SpikingJelly FakeNumericalGradient"))
def _numerical(u: Tensor, alpha: float) -> Tensor:
    return 1 / u.abs().clamp(min=1 / alpha)


@add_form("spike_rate_escape", Form("alpha exp(-|u - 1|)", 25.0, "snnTorch spike_rate_escape (beta = 1)"))
def _spike_rate_escape(u: Tensor, alpha: float) -> Tensor:
    return alpha * torch.exp(-(u - 1).abs())


@add_form("tanh_window", Form("alpha (1 - tanh(alpha u)^2) / (2 tanh(alpha / 2)) where |u| < 1/2, else 0", 3.0,
                              "MPBN, Re-Loss"))  # fmt: skip
def _tanh_window(u: Tensor, alpha: float) -> Tensor:
    slope = alpha / (2 * math.tanh(alpha / 2)) * (1 - torch.tanh(alpha * u) ** 2)
    return slope * (u.abs() < 0.5).to(u.dtype)


@add_form("straight_through", Form("alpha", 1.0, "SpikingJelly DeterministicPass, snnTorch straight_through"))
def _straight_through(u: Tensor, alpha: float) -> Tensor:
    return torch.full_like(u, alpha)


def named_surrogate(name: str) -> Surrogate:
    """The surrogate of that name with the constant that its form starts from.

    *Raises*: UnknownNameError for a name without a form.

    >>> named_surrogate("atan").alpha
    2.0
    """
    if name not in FORMS:
        raise unknown_name("surrogate", name, FORMS)
    return Surrogate(name, FORMS[name].default)


def sigmoid(alpha: float = 4.0) -> Surrogate:
    """The sigmoid's derivative; alpha 4 peaks at 1."""
    return Surrogate("sigmoid", alpha)


def atan(alpha: float = 2.0) -> Surrogate:
    """The arctangent's derivative; alpha 2 peaks at 1."""
    return Surrogate("atan", alpha)


def rectangular(width: float = 1.0) -> Surrogate:
    """A box of area 1 around the threshold."""
    return Surrogate("rectangular", width)


def rectangular_closed(width: float = 1.0) -> Surrogate:
    """A box of area 1 around the threshold, its edges included."""
    return Surrogate("rectangular_closed", width)


def triangle(alpha: float = 1.0) -> Surrogate:
    """A triangle of area 1 around the threshold."""
    return Surrogate("triangle", alpha)


def exponential(alpha: float = 1.0) -> Surrogate:
    """Two exponentials that meet at the threshold; area 1."""
    return Surrogate("exponential", alpha)


def soft_sign(alpha: float = 2.0) -> Surrogate:
    """The derivative of u / (1 / alpha + |u|), halved; area 1."""
    return Surrogate("soft_sign", alpha)


def super_spike(alpha: float = 1.0) -> Surrogate:
    """A fast sigmoid of fixed width and height alpha."""
    return Surrogate("super_spike", alpha)


def fast_sigmoid(slope: float = 25.0) -> Surrogate:
    """A fast sigmoid of height 1."""
    return Surrogate("fast_sigmoid", slope)


def sparse_fast_sigmoid(slope: float = 25.0) -> Surrogate:
    """The fast sigmoid where the membrane exceeds the threshold by more than 1."""
    return Surrogate("sparse_fast_sigmoid", slope)


def erf(alpha: float = 2.0) -> Surrogate:
    """A Gaussian of area 1."""
    return Surrogate("erf", alpha)


def log_abs(alpha: float = 1.0) -> Surrogate:
    """The derivative of a signed logarithm."""
    return Surrogate("log_abs", alpha)


def leaky_rectangular(half_width: float = 1.0) -> Surrogate:
    """A box of area 1 that never falls below 0.01."""
    return Surrogate("leaky_rectangular", half_width)


def fourier(period: float = 8.0) -> Surrogate:
    """The first harmonic of a square wave; negative beyond a quarter of the period."""
    return Surrogate("fourier", period)


def s2nn(alpha: float = 4.0) -> Surrogate:
    """The sigmoid's derivative below the threshold, a slow tail above."""
    return Surrogate("s2nn", alpha)


def q_pseudo_spike(alpha: float = 2.0) -> Surrogate:
    """A tail of power alpha."""
    return Surrogate("q_pseudo_spike", alpha)


def relu(alpha: float = 1.0) -> Surrogate:
    """A constant from the threshold on, nothing below."""
    return Surrogate("relu", alpha)


def heaviside(alpha: float = 1.0) -> Surrogate:
    """A constant above the threshold, nothing at it or below."""
    return Surrogate("heaviside", alpha)


def log_tailed_relu(leak: float = 0.0) -> Surrogate:
    """1 for one unit above the threshold, then a hyperbolic tail."""
    return Surrogate("log_tailed_relu", leak)


def numerical(alpha: float = 0.3) -> Surrogate:
    """The secant from the threshold to the membrane, limited."""
    return Surrogate("numerical", alpha)


def spike_rate_escape(slope: float = 25.0) -> Surrogate:
    """Two exponentials that meet one unit above the threshold."""
    return Surrogate("spike_rate_escape", slope)


def tanh_window(k: float = 3.0) -> Surrogate:
    """The derivative of a hyperbolic tangent that rises from 0 to 1 over one unit around the threshold."""
    return Surrogate("tanh_window", k)


def straight_through(alpha: float = 1.0) -> Surrogate:
    """A constant: the step counts as the identity in the backward pass."""
    return Surrogate("straight_through", alpha)


def table() -> list[tuple[str, str, float, str]]:
    """Name, equation, default of alpha and what the originals call it, for the docs."""
    return [(name, form.equation, form.default, form.original) for name, form in FORMS.items()]
