"""The leaky integrate-and-fire family: IF, LIF and PLIF."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.errors import unknown_name
from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.neuron import Neuron, check_number
from spikedrive.ops import surrogate as surrogates
from spikedrive.ops.domain import Binary, Domain
from spikedrive.ops.lif import lif_scan
from spikedrive.ops.lif.options import check_reset
from spikedrive.ops.surrogate import Surrogate

Reset = Literal["hard", "soft"]
Saving = Literal["compact", "full"]
"""What is kept for the backward pass: rounded values where a fast implementation does, or whole ones."""


@register_neuron
class LIF(Neuron):
    """Leaky integrate-and-fire.

    *Equation*, with decay d and reset value r:

        charge  h = d v + (1 - d)(r + x)          (decay_input=True)
                h = d v + (1 - d) r + x           (decay_input=False)
        fire    s = 1 where h >= threshold        (> with strict=True)
        reset   v = h where s = 0, r where s = 1  (reset="hard")
                v = h - threshold s               (reset="soft")

    With delayed_reset=True the reset for s comes with the next charge, on a membrane that is handed out as h:
    before the charge (hard), or as - threshold s beside it, which the leak does not touch (soft). snnTorch's Leaky
    is `LIF(beta, decay_input=False, reset="soft", strict=True, delayed_reset=True, surrogate=surrogate.atan())`.
    `save` says what the backward pass keeps: see `spikedrive.ops.lif.native`.

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Units*: membrane in threshold units of x; decay is the share kept per step, 1 - 1/tau.
    *Multiplies*: none where decay is a power of two (a shift); otherwise the leak, one a step.
    *Raises*: ConfigError for a decay outside 0..1 or a threshold of zero or less.
    *Source*: the defaults are those of SpikingJelly 0.0.0.0.12 MultiStepLIFNode with tau 2, as in
    Spike-driven Transformer; EMS-YOLO is `decay=0.25, decay_input=False, threshold=0.5, strict=True`.

    >>> LIF()(torch.full((3, 1, 1), 1.5)).flatten().tolist()
    [0.0, 1.0, 0.0]
    """

    def __init__(
        self,
        decay: float = 0.5,
        threshold: float = 1.0,
        *,
        decay_input: bool = True,
        reset: Reset = "hard",
        reset_value: float = 0.0,
        strict: bool = False,
        detach_reset: bool = True,
        delayed_reset: bool = False,
        surrogate: Surrogate | None = None,
        save: Saving = "compact",
    ) -> None:
        super().__init__()
        check_number(type(self).__name__, "decay", decay, low=0, high=1)
        check_number(type(self).__name__, "threshold", threshold, above=0)
        check_choices(reset, save)
        self.decay, self.threshold = float(decay), float(threshold)
        self.decay_input, self.reset, self.reset_value = decay_input, reset, float(reset_value)
        self.strict, self.detach_reset, self.delayed_reset = strict, detach_reset, delayed_reset
        check_reset("LIF", delayed_reset, detach_reset)
        self.surrogate, self.save = surrogate or surrogates.sigmoid(), save

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    def rest(self, x: Float[Tensor, "T B *S"]) -> None:
        """None, which stands for a membrane at its reset value."""
        return

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S"] | None, keep_last: bool = True
    ) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "..."]]:
        """Spikes and the last membrane, which is empty without `keep_last`."""
        return lif_scan(
            x, state, decay=self.decay, threshold=self.threshold, surrogate=self.surrogate,
            decay_input=self.decay_input, hard_reset=self.reset == "hard", reset_value=self.reset_value,
            strict=self.strict, detach_reset=self.detach_reset, compact=self.save == "compact",
            delayed_reset=self.delayed_reset, keep_last=keep_last,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"decay={self.decay:g}, threshold={self.threshold:g}, reset={self.reset}"


@register_neuron
class IF(Neuron):
    """Integrate-and-fire: no leak.

    *Equation*: h = v + x; s = 1 where h >= threshold; reset as in `LIF`.
    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Multiplies*: none.
    *Raises*: ConfigError for a threshold of zero or less.

    >>> IF()(torch.full((3, 1, 1), 0.5)).flatten().tolist()
    [0.0, 1.0, 0.0]
    """

    def __init__(
        self,
        threshold: float = 1.0,
        *,
        reset: Reset = "hard",
        reset_value: float = 0.0,
        strict: bool = False,
        detach_reset: bool = True,
        surrogate: Surrogate | None = None,
        save: Saving = "compact",
    ) -> None:
        super().__init__()
        check_number("IF", "threshold", threshold, above=0)
        check_choices(reset, save)
        self.threshold, self.reset, self.reset_value = float(threshold), reset, float(reset_value)
        self.strict, self.detach_reset = strict, detach_reset
        self.surrogate, self.save = surrogate or surrogates.sigmoid(), save

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    def rest(self, x: Float[Tensor, "T B *S"]) -> None:
        """None, which stands for a membrane at its reset value."""
        return

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S"] | None, keep_last: bool = True
    ) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "..."]]:
        """Spikes and the last membrane, which is empty without `keep_last`."""
        return lif_scan(
            x, state, decay=1.0, threshold=self.threshold, surrogate=self.surrogate, decay_input=False,
            hard_reset=self.reset == "hard", reset_value=self.reset_value, strict=self.strict,
            detach_reset=self.detach_reset, compact=self.save == "compact",
            keep_last=keep_last,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"threshold={self.threshold:g}, reset={self.reset}"


@register_neuron
class PLIF(Neuron):
    """Parametric LIF: one learned leak for the whole layer.

    *Equation*: as `LIF` with 1 - decay = sigmoid(w), w a learned scalar, w = -ln(tau - 1) at the start.
    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Multiplies*: the leak, unless sigmoid(w) is exactly a power of two (tau 2 at the start is).
    *Raises*: ConfigError for tau of 1 or less or a threshold of zero or less.
    *Source*: SpikingJelly MultiStepParametricLIFNode; the key `w` has shape ().
    """

    def __init__(
        self,
        tau: float = 2.0,
        threshold: float = 1.0,
        *,
        decay_input: bool = True,
        reset: Reset = "hard",
        reset_value: float = 0.0,
        strict: bool = False,
        detach_reset: bool = True,
        surrogate: Surrogate | None = None,
        save: Saving = "compact",
    ) -> None:
        super().__init__()
        check_number("PLIF", "tau", tau, above=1)
        check_number("PLIF", "threshold", threshold, above=0)
        check_choices(reset, save)
        self.w = nn.Parameter(torch.tensor(-math.log(tau - 1)))
        self.threshold, self.decay_input = float(threshold), decay_input
        self.reset, self.reset_value = reset, float(reset_value)
        self.strict, self.detach_reset = strict, detach_reset
        self.surrogate, self.save = surrogate or surrogates.sigmoid(), save

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    def rest(self, x: Float[Tensor, "T B *S"]) -> None:
        """None, which stands for a membrane at its reset value."""
        return

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S"] | None, keep_last: bool = True
    ) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "..."]]:
        """Spikes and the last membrane, which is empty without `keep_last`."""
        return lif_scan(
            x, state, decay=1 - self.w.sigmoid(), threshold=self.threshold, surrogate=self.surrogate,
            decay_input=self.decay_input, hard_reset=self.reset == "hard", reset_value=self.reset_value,
            strict=self.strict, detach_reset=self.detach_reset, compact=self.save == "compact",
            keep_last=keep_last,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"threshold={self.threshold:g}, reset={self.reset}"


def check_choices(reset: str, save: str) -> None:
    """Raise UnknownNameError unless both are accepted."""
    if reset not in ("hard", "soft"):
        raise unknown_name("reset", reset, ("hard", "soft"))
    if save not in ("compact", "full"):
        raise unknown_name("way to save", save, ("compact", "full"))
