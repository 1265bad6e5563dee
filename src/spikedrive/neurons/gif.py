"""The generalised integrate-and-fire neuron: several bits a spike, more of them for salient channels."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spikedrive.errors import ConfigError, ShapeError
from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.neuron import Neuron, check_count, check_number
from spikedrive.ops import checks, equation
from spikedrive.ops.domain import Domain, Integer


@register_neuron
class GIF(Neuron):
    """A membrane that starts at an integer code and fires it off in multi-bit spikes.

    *Equation*, with b bits a spike, S = 2^a inner steps for a extra bits, scale c and zero point z:

        code    q = clip(round(x / c) + z, 0, 2^(b + a) - 1)       (half to even)
        charge  h_1 = q;  h_(i+1) = h_i - s_i
        fire    s_i = min(h_i, 2^b - 1)
        output  y = c (s_1 + ... + s_S - z)

    The S spikes hold S (2^b - 1) at most, so the highest codes lose up to S - 1; `keep_top_codes` keeps them.
    With scale=None each token (the last axis) has its own c and z, from its smallest and largest value, and
    `set_salient` names the channels that get the extra bits; the others are coded in b bits, one spike.
    Backward: the rounding counts as the identity, and what is cut off has no gradient.

    *Shapes*: x (T, B, ...) -> (T, B, ...); with scale=None x (T, B, ..., C).
    *Units*: the scale in units of x.
    *Multiplies*: none with a fixed scale, which folds into the next weight. With scale=None it emits real
    numbers: the audit names a division and a multiplication by the token's own scale.
    *Raises*: ConfigError for bits below 1, extra bits below 0, a scale of zero or less, a zero point outside
    the codes; ShapeError for an input of other channels than the salient mask.
    *Source*: SpikeLLM (arXiv 2407.04752) and its code. Its `fake_binary_simulate` is `keep_top_codes=True`;
    its other modes multiply the raw input, or subtract the zero point over channels without one, and are not here.

    >>> GIF(bits=2, extra_bits=1, zero_point=0)(torch.tensor([-1.0, 2.5, 5.0, 7.0]).view(1, 1, 4)).flatten().tolist()
    [0.0, 2.0, 5.0, 6.0]
    """

    salient: Tensor | None

    def __init__(
        self,
        bits: int = 4,
        extra_bits: int = 1,
        *,
        scale: float | None = 1.0,
        zero_point: int | None = None,
        symmetric: bool = False,
        keep_top_codes: bool = False,
    ) -> None:
        super().__init__()
        check_count("GIF", "bits", bits, high=16)
        check_number("GIF", "extra_bits", extra_bits, low=0, high=8)
        self.bits, self.extra_bits, self.symmetric = int(bits), int(extra_bits), symmetric
        self.keep_top_codes = keep_top_codes
        if scale is not None:
            check_number("GIF", "scale", scale, above=0)
        elif zero_point is not None:
            raise ConfigError(
                f"GIF got scale=None and zero_point={zero_point}; without a scale each token has a zero point of its "
                "own. Leave zero_point out, or fix the scale too."
            )
        middle = 2 ** (self.bits + self.extra_bits - 1)
        self.scale = None if scale is None else float(scale)
        self.zero_point = middle if zero_point is None else int(zero_point)
        check_number("GIF", "zero_point", self.zero_point, low=0, high=self.top)
        self.register_buffer("salient", None)

    @property
    def top(self) -> int:
        """The largest code that leaves."""
        return _top(self.bits, self.extra_bits, self.keep_top_codes)

    @property
    def domain(self) -> Domain | None:
        """Integers from -zero_point to top - zero_point times the scale; None where each token has its own."""
        return None if self.scale is None else _integers(self.top, self.zero_point, self.scale)

    def set_salient(self, channels: Bool[Tensor, "C"]) -> None:
        """Give the extra bits to these channels only.

        *Raises*: ConfigError with a fixed scale, which is one for all.
        """
        if self.scale is not None:
            raise ConfigError(
                f"GIF got salient channels and scale={self.scale:g}, which is one for all channels; it takes them with "
                "scale=None. Leave the scale out."
            )
        self.salient = channels

    def rest(self, x: Float[Tensor, "T B *S"]) -> None:
        """Nothing is carried: each step fires off its own code."""
        return

    def scan(self, x: Float[Tensor, "T B *S"], state: None) -> tuple[Float[Tensor, "T B *S"], None]:
        """The coded input."""
        checks.scan_input("GIF", x, None)
        if self.salient is not None and self.salient.shape != x.shape[-1:]:
            raise ShapeError(
                f"GIF got x of shape {tuple(x.shape)} and a salient mask of {self.salient.shape[0]} channels; the last "
                "axis of x holds the channels. Set the mask again for this layer."
            )
        if self.scale is not None:
            y, _ = gif_scan(x, self.bits, self.extra_bits, self.scale, self.zero_point, self.keep_top_codes)
            return y, None
        y, _ = gif_token_scan(x, self.bits, self.extra_bits, self.symmetric, self.keep_top_codes)
        if self.salient is not None:
            y = torch.where(self.salient, y, gif_token_scan(x, self.bits, 0, self.symmetric, True)[0])
        return y, None

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"bits={self.bits}, extra_bits={self.extra_bits}, scale={self.scale}"


def token_code(
    x: Float[Tensor, "... C"], bits: int, *, symmetric: bool = False
) -> tuple[Float[Tensor, "... C"], Float[Tensor, "... 1"], Float[Tensor, "... 1"]]:
    """(codes 0 .. 2^bits - 1, scale, zero point) of each token, with x about (code - zero point) * scale.

    *Equation*: scale = (max - min) / (2^bits - 1), zero point = round(-min / scale); with `symmetric`
    scale = max |x| / (2^(bits - 1) - 1), zero point = 2^(bits - 1) - 1.
    *Shapes*: x (..., C) -> (..., C), (..., 1), (..., 1).
    """
    largest = 2**bits - 1
    if symmetric:
        half = 2 ** (bits - 1) - 1
        scale = (x.abs().amax(-1, keepdim=True) / half).clamp(1e-5, 1e4)
        zero = torch.full_like(scale, half)
    else:
        low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
        scale = ((high - low) / largest).clamp(1e-5, 1e4)
        zero = (-low / scale).clamp(-1e4, 1e4).round()
    return (_Round.apply(x / scale) + zero).clamp(0, largest), scale, zero


def fire_off(code: Float[Tensor, "*S"], bits: int, extra_bits: int) -> Float[Tensor, "N *S"]:
    """The S = 2^extra_bits spikes of each code in turn, 0 .. 2^bits - 1 each.

    *Shapes*: code (...) -> (S, ...).
    """
    largest, spikes = 2**bits - 1, []
    for _ in range(2**extra_bits):
        spikes.append(code.clamp(max=largest))
        code = code - spikes[-1]
    return torch.stack(spikes)


class _Round(torch.autograd.Function):
    """Half to even forward, the identity backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad


def _top(bits: int, extra_bits: int, keep_top_codes: bool) -> int:
    return 2 ** (bits + extra_bits) - 1 if keep_top_codes else 2**extra_bits * (2**bits - 1)


def _integers(top: int, zero_point: int, scale: float) -> Domain:
    return Integer(top - zero_point, scale, -zero_point)


def _equation(
    x: Tensor, bits: int, extra_bits: int, scale: float, zero_point: int, keep_top_codes: bool
) -> tuple[Tensor, Tensor]:
    low, high = -zero_point, _top(bits, extra_bits, keep_top_codes) - zero_point
    u = x / scale
    # cut off at whole numbers, so cutting before rounding is the same; the gradient reaches half a step further
    n = _Round.apply(u).clamp(low, high) if torch.is_grad_enabled() else u.clamp(low, high).round()
    return n * scale, x.new_empty(0)


def _token_equation(
    x: Tensor, bits: int, extra_bits: int, symmetric: bool, keep_top_codes: bool
) -> tuple[Tensor, Tensor]:
    code, scale, zero = token_code(x, bits + extra_bits, symmetric=symmetric)
    if not keep_top_codes:
        code = code.clamp(max=_top(bits, extra_bits, False))
    return (code - zero) * scale, x.new_empty(0)


gif_scan = equation.define(
    "gif_scan",
    "(Tensor x, int bits, int extra_bits, float scale, int zero_point, bool keep_top_codes) -> (Tensor, Tensor)",
    _equation,
    domain=lambda a: _integers(
        _top(a["bits"], a["extra_bits"], a["keep_top_codes"]), a["zero_point"], a["scale"]
    ),
)

gif_token_scan = equation.define(
    "gif_token_scan",
    "(Tensor x, int bits, int extra_bits, bool symmetric, bool keep_top_codes) -> (Tensor, Tensor)",
    _token_equation,
    domain=lambda _: None,
)
