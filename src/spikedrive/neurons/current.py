"""Leaky integrate-and-fire behind a synaptic current."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.lif import Reset, Saving, check_choices
from spikedrive.neurons.neuron import Neuron, check_number
from spikedrive.ops import surrogate as surrogates
from spikedrive.ops.current import current_scan
from spikedrive.ops.domain import Binary, Domain
from spikedrive.ops.surrogate import Surrogate

State = tuple[Float[Tensor, "B *S"], Float[Tensor, "B *S"]]


@register_neuron
class CurrentLIF(Neuron):
    """Current-based leaky integrate-and-fire: the input charges a current, the current charges the membrane.

    *Equation*, with current decay a, membrane decay d and reset value r:

        current c = a c + x
        charge  h = d v + (1 - d) r + c
        fire    s = 1 where h >= threshold        (> with strict=True)
        reset   v = h where s = 0, r where s = 1  (reset="hard")
                v = h - threshold s               (reset="soft")

    | published form | arguments |
    |---|---|
    | SpikingJelly CUBA-LIF | the defaults, with surrogate.rectangular() |
    | snnTorch Synaptic | reset="soft", strict=True (there the reset comes one step later) |

    *Shapes*: x (T, B, ...) -> (T, B, ...); the state is (membrane, current).
    *Units*: membrane in threshold units of x; decays are the shares kept per step.
    *Multiplies*: none where both decays are powers of two; otherwise one leak, or two, a step.
    *Raises*: ConfigError for a decay outside 0..1 or a threshold of zero or less.
    *Source*: SpikingJelly CUBA node (decays 0.5 and 0.75, threshold 0.5).

    >>> import torch
    >>> CurrentLIF()(torch.tensor([0.4, 0.4, 0.0]).view(3, 1, 1)).flatten().tolist()
    [0.0, 1.0, 0.0]
    """

    def __init__(
        self,
        current_decay: float = 0.5,
        decay: float = 0.75,
        threshold: float = 0.5,
        *,
        reset: Reset = "hard",
        reset_value: float = 0.0,
        strict: bool = False,
        detach_reset: bool = True,
        surrogate: Surrogate | None = None,
        save: Saving = "compact",
    ) -> None:
        super().__init__()
        check_number("CurrentLIF", "current_decay", current_decay, low=0, high=1)
        check_number("CurrentLIF", "decay", decay, low=0, high=1)
        check_number("CurrentLIF", "threshold", threshold, above=0)
        check_choices(reset, save)
        self.current_decay, self.decay, self.threshold = float(current_decay), float(decay), float(threshold)
        self.reset, self.reset_value, self.save = reset, float(reset_value), save
        self.strict, self.detach_reset = strict, detach_reset
        self.surrogate = surrogate or surrogates.sigmoid()

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    def rest(self, x: Float[Tensor, "T B *S"]) -> None:
        """None, which stands for a membrane at its reset value and no current."""
        return

    def scan(self, x: Float[Tensor, "T B *S"], state: State | None) -> tuple[Float[Tensor, "T B *S"], State]:
        """Spikes, and the last membrane and current."""
        v, c = state or (None, None)
        spikes, v, c = current_scan(
            x, v, c, current_decay=self.current_decay, decay=self.decay, threshold=self.threshold,
            surrogate=self.surrogate, hard_reset=self.reset == "hard", reset_value=self.reset_value,
            strict=self.strict, detach_reset=self.detach_reset, compact=self.save == "compact",
        )  # fmt: skip
        return spikes, (v, c)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return (
            f"current_decay={self.current_decay:g}, decay={self.decay:g}, threshold={self.threshold:g}, "
            f"reset={self.reset}"
        )
