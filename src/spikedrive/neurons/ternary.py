"""Ternary spikes: a threshold above and one below zero."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.lif import Reset, Saving, check_choices
from spikedrive.neurons.neuron import Neuron, check_number
from spikedrive.ops import surrogate as surrogates
from spikedrive.ops.domain import Domain, Ternary
from spikedrive.ops.surrogate import Surrogate
from spikedrive.ops.ternary import ternary_scan


@register_neuron
class TernaryLIF(Neuron):
    """Leaky integrate-and-fire that emits -1, 0 or 1.

    *Equation*, with decay d, reset value r and amplitude a (1, or learned):

        charge  h = d v + (1 - d)(r + x)            (decay_input=True)
                h = d v + (1 - d) r + x             (decay_input=False)
        fire    s = 1 where h >= threshold, -1 where h <= -threshold, else 0
        reset   v = h where s = 0, r elsewhere      (reset="hard")
                v = h - threshold s                 (reset="soft")
        output  y = a s

    | published form | arguments |
    |---|---|
    | SpikingJelly TernaryLIFNode | detach_reset=False |
    | SpikingJelly TernaryIFNode | decay=1.0, decay_input=False, detach_reset=False |
    | Ternary Spike | decay=0.25, threshold=0.5, decay_input=False, window=1.0, detach_reset=False |
    | Ternary Spike, trainable | the same with learned_amplitude=True |

    The slope of s is the surrogate's at h - threshold plus that at -h - threshold; with a window w it is 1 where
    |h| <= w, else 0.

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Multiplies*: none where decay is a power of two; the amplitude folds into the next weight.
    *Raises*: ConfigError for a decay outside 0..1, a threshold or window of zero or less;
    UnknownNameError for another reset.
    *Source*: SpikingJelly TernaryLIFNode; Guo et al., "Ternary Spike" (fires at half its threshold of 1). The
    learned amplitude `amplitude` has shape () and starts at 1.

    >>> TernaryLIF()(torch.tensor([-2.0, 1.0, 2.5]).view(1, 1, 3)).flatten().tolist()
    [-1.0, 0.0, 1.0]
    """

    def __init__(
        self,
        decay: float = 0.5,
        threshold: float = 1.0,
        *,
        decay_input: bool = True,
        reset: Reset = "hard",
        reset_value: float = 0.0,
        detach_reset: bool = True,
        surrogate: Surrogate | None = None,
        window: float | None = None,
        learned_amplitude: bool = False,
        save: Saving = "compact",
    ) -> None:
        super().__init__()
        check_number("TernaryLIF", "decay", decay, low=0, high=1)
        check_number("TernaryLIF", "threshold", threshold, above=0)
        check_choices(reset, save)
        if window is not None:
            check_number("TernaryLIF", "window", window, above=0)
        self.amplitude = nn.Parameter(torch.ones(())) if learned_amplitude else None
        self.decay, self.threshold, self.decay_input = float(decay), float(threshold), decay_input
        self.reset, self.reset_value, self.detach_reset = reset, float(reset_value), detach_reset
        self.window, self.save = 0.0 if window is None else float(window), save
        self.surrogate = surrogate or surrogates.sigmoid()

    @property
    def domain(self) -> Domain:
        """Ternary, times the amplitude."""
        return Ternary(1.0 if self.amplitude is None else abs(self.amplitude.item()))

    def rest(self, x: Float[Tensor, "T B *S"]) -> None:
        """None, which stands for a membrane at its reset value."""
        return

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S"] | None
    ) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "B *S"]]:
        """Spikes times the amplitude, and the last membrane."""
        spikes, last = ternary_scan(
            x, state, decay=self.decay, threshold=self.threshold, surrogate=self.surrogate, window=self.window,
            decay_input=self.decay_input, hard_reset=self.reset == "hard", reset_value=self.reset_value,
            detach_reset=self.detach_reset, compact=self.save == "compact",
        )  # fmt: skip
        return spikes if self.amplitude is None else spikes * self.amplitude, last

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return (
            f"decay={self.decay:g}, threshold={self.threshold:g}, reset={self.reset}, "
            f"learned_amplitude={self.amplitude is not None}"
        )
