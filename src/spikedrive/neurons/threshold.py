"""LIF with a threshold a channel that may also be crossed from above: what a folded normalisation becomes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.errors import ShapeError, unknown_name
from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.firing import Reset
from spikedrive.neurons.neuron import Neuron, check_number
from spikedrive.ops import equation
from spikedrive.ops import surrogate as surrogates
from spikedrive.ops.checks import scan_input
from spikedrive.ops.domain import Binary, Domain
from spikedrive.ops.surrogate import Surrogate


def _threshold(
    x, v, threshold, sign, decay, decay_input, reset_amount, hard_reset, reset_value, strict, detach_reset, surrogate,
    alpha,
):  # fmt: skip
    gain = 1 - decay if decay_input else 1.0
    towards = (1 - decay) * reset_value if hard_reset else 0.0
    threshold, sign = over_channels(threshold, v), over_channels(sign, v)
    out = []
    for x_t in x.unbind(0):
        h = decay * v + gain * x_t + towards
        s = equation.fire(sign * h - threshold, surrogate, alpha, strict)
        v = equation.reset(h, s, reset_amount, hard_reset, reset_value, detach_reset)
        out.append(s)
    return torch.stack(out), v


_threshold_scan = equation.define(
    "threshold_scan",
    "(Tensor x, Tensor v, Tensor threshold, Tensor sign, float decay, bool decay_input, float reset_amount, "
    "bool hard_reset, float reset_value, bool strict, bool detach_reset, str surrogate, float alpha) "
    "-> (Tensor, Tensor)",
    _threshold,
    domain=lambda arguments: Binary(),
)


@register_neuron
class ThresholdLIF(Neuron):
    """LIF with thresholds of its own for each channel, crossed from below or from above.

    *Equation*, with decay d, reset value r (0 for a soft reset) and sign -1, 0 or 1:

        charge  h = d v + x                      (decay_input=False)
                h = d v + (1 - d)(r + x)         (decay_input=True)
        fire    s = 1 where sign h > threshold   (>= with strict=False)
        reset   v = h where s = 0, r where s = 1 (reset="hard")
                v = h - reset_amount s           (reset="soft")

    A channel of sign 0 fires always (threshold below 0) or never.

    *Shapes*: x (T, B, ...) -> (T, B, ...), with threshold (C,) (T, B, C, ...).
    *Units*: membrane and threshold in units of x.
    *Multiplies*: none where decay is a power of two, otherwise the leak, one a step.
    *Raises*: ConfigError for a decay outside 0..1; ShapeError for another number of channels.
    *Source*: what `MPBNLIF.fold` gives; threshold and sign are buffers.

    >>> ThresholdLIF(torch.tensor([0.5, -0.5]), torch.tensor([1.0, -1.0]))(torch.ones(1, 1, 2)).flatten().tolist()
    [1.0, 0.0]
    """

    threshold: Tensor
    sign: Tensor

    def __init__(
        self,
        threshold: float | Tensor = 0.5,
        sign: float | Tensor = 1.0,
        *,
        decay: float = 0.25,
        decay_input: bool = False,
        reset: Reset = "hard",
        reset_value: float = 0.0,
        reset_amount: float = 0.5,
        strict: bool = True,
        detach_reset: bool = True,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__()
        check_number("ThresholdLIF", "decay", decay, low=0, high=1)
        if reset not in ("hard", "soft"):
            raise unknown_name("reset", reset, ("hard", "soft"))
        self.register_buffer("threshold", torch.as_tensor(threshold))
        self.register_buffer("sign", torch.as_tensor(sign).expand_as(self.threshold).clone())
        self.decay, self.decay_input, self.reset = float(decay), decay_input, reset
        self.reset_value, self.reset_amount = float(reset_value), float(reset_amount)
        self.strict, self.detach_reset = strict, detach_reset
        self.surrogate = surrogate or surrogates.sigmoid()

    @property
    def silent_at_zero(self) -> bool:  # type: ignore[override]
        """Whether no threshold lies below zero."""
        return bool((self.threshold >= 0 if self.strict else self.threshold > 0).all())

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    def rest(self, x: Float[Tensor, "T B *S"]) -> Float[Tensor, "B *S"]:
        """The membrane at its reset value; zero for a soft reset."""
        return torch.full_like(x[0], self.reset_value if self.reset == "hard" else 0.0)

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S"]
    ) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "B *S"]]:
        """Spikes and the last membrane."""
        scan_input("ThresholdLIF", x, state)
        channels = self.threshold.numel()
        if self.threshold.dim() and (x.dim() < 3 or x.shape[2] != channels):
            raise ShapeError(
                f"ThresholdLIF got x of shape {tuple(x.shape)}; it takes (T, B, {channels}, ...), a threshold for each "
                "channel. Give one threshold, or as many as there are channels."
            )
        return _threshold_scan(
            x, state, self.threshold, self.sign, self.decay, self.decay_input, self.reset_amount,
            self.reset == "hard", self.reset_value, self.strict, self.detach_reset, self.surrogate.name,
            float(self.surrogate.alpha),
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"channels={self.threshold.numel()}, decay={self.decay:g}, reset={self.reset}"


def over_channels(p: Float[Tensor, "*C"], h: Float[Tensor, "B *S"]) -> Tensor:
    """p, a number or one a channel (C,), so that it meets axis 1 of h."""
    return p.reshape(p.shape + (1,) * (h.dim() - 2)) if p.dim() else p


def boundary(
    fires: Callable[[Tensor], Tensor], like: Float[Tensor, "*C"]
) -> tuple[Float[Tensor, "*C"], Float[Tensor, "*C"], Float[Tensor, "*C"]]:
    """The two neighbouring numbers between which a monotone `fires(h)` changes, and the sign of its slope.

    Gives (quiet, loud, sign), so that fires(h) is sign h > quiet and also sign h >= loud; sign is -1 where it falls.
    Where it never changes sign is 0 and both are -1 (it always fires) or 1 (never).
    """
    # a quarter, so that differences of two do not overflow
    end = torch.full_like(like, torch.finfo(like.dtype).max / 4)
    low, high = fires(-end), fires(end)
    sign = high.to(like.dtype) - low.to(like.dtype)
    quiet, loud = torch.where(high, -end, end), torch.where(high, end, -end)
    while True:
        middle = quiet / 2 + loud / 2
        open_ = (middle != quiet) & (middle != loud)
        if not bool(open_.any()):
            break
        fired = fires(middle)
        quiet, loud = torch.where(open_ & ~fired, middle, quiet), torch.where(open_ & fired, middle, loud)
    fixed = torch.where(high, -torch.ones_like(like), torch.ones_like(like))
    return torch.where(sign == 0, fixed, sign * quiet), torch.where(sign == 0, fixed, sign * loud), sign
