"""The integer family: trained on small integers in one step, run as that many binary steps."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.errors import unknown_name
from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.neuron import Neuron, check_count, check_number
from spikedrive.ops.domain import Binary, Domain, Integer
from spikedrive.ops.ilif import ilif_scan

Rounding = Literal["half_even", "half_up"]
Gate = Literal["closed", "open"]


@register_neuron
class ILIF(Neuron):
    """Integer leaky integrate-and-fire with levels 0..D.

    *Equation*, with D levels, threshold th and output scale c (see the table for the published forms):

        charge  h = x                                  (carry=False)
                h = d v + x, or d v + (1 - d) x        (carry=True; decay_input)
        fire    s = round(clip(h / th, 0, D))          (rounding: half to even, or half up)
        reset   v = h - th s                           (carry=True; s detached)
        output  y = c s

    | published form | arguments |
    |---|---|
    | SpikeYOLO (COCO) | carry=True, decay=0.25 |
    | SpikeYOLO (Gen1) | carry=True, decay=0.5, decay_input=True |
    | SpikingJelly ILIFNode | carry=True, decay=0.25, detach_reset=False |
    | V3 base | scale=1/4 |
    | V3 large | rounding="half_up", gate="open", scale=1/4 |
    | E-3DSNN, SVL | rounding="half_up", gate="open" |
    | QSD (IE-LIF) | rounding="half_up", gate="open", threshold=1/4, scale=1/4 |
    | QSD attention | rounding="half_up", gate="open", threshold=1/4, scale=1/2 |

    The gradient is c / th inside the gate: 0 <= h/th <= D (closed) or 0 < h/th < D (open).

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Multiplies*: none: D comparisons; the scale folds into the next weight; a decay that is no power
    of two is one multiplication a step.
    *Raises*: ConfigError for levels below 1, a threshold or scale of zero or less, a decay outside 0..1.
    *Source*: specs of SpikeYOLO, Spike-driven Transformer V3, QSD-Transformer, E-3DSNN.

    >>> ILIF()(torch.tensor([-1.0, 0.5, 1.5, 2.2, 9.0]).view(1, 1, 5)).flatten().tolist()
    [0.0, 0.0, 2.0, 2.0, 4.0]
    """

    def __init__(
        self,
        levels: int = 4,
        threshold: float = 1.0,
        *,
        carry: bool = False,
        decay: float = 0.25,
        decay_input: bool = False,
        rounding: Rounding = "half_even",
        gate: Gate = "closed",
        scale: float = 1.0,
        detach_reset: bool = True,
    ) -> None:
        super().__init__()
        check_count("ILIF", "levels", levels)
        check_number("ILIF", "threshold", threshold, above=0)
        check_number("ILIF", "scale", scale, above=0)
        check_number("ILIF", "decay", decay, low=0, high=1)
        _check_choices(rounding, gate)
        self.levels, self.threshold, self.scale = int(levels), float(threshold), float(scale)
        self.carry, self.decay, self.decay_input = carry, float(decay), decay_input
        self.rounding, self.gate, self.detach_reset = rounding, gate, detach_reset

    @property
    def domain(self) -> Domain:
        """Integers 0..levels times scale; binary where levels is 1."""
        return Binary(self.scale) if self.levels == 1 else Integer(self.levels, self.scale)

    def rest(self, x: Float[Tensor, "T B *S"]) -> Float[Tensor, "B *S"] | None:
        """A zero membrane, or None where nothing is carried."""
        return torch.zeros_like(x[0]) if self.carry else None

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S"] | None
    ) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "B *S"] | None]:
        """Integers times scale, and the last membrane."""
        y, last = ilif_scan(
            x, state, levels=self.levels, decay=self.decay, threshold=self.threshold, decay_input=self.decay_input,
            half_even=self.rounding == "half_even", closed_gate=self.gate == "closed", scale=self.scale,
            detach_reset=self.detach_reset,
        )  # fmt: skip
        return y, last if self.carry else None

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return (
            f"levels={self.levels}, threshold={self.threshold:g}, scale={self.scale:g}, carry={self.carry}, "
            f"rounding={self.rounding}, gate={self.gate}"
        )


@register_neuron
class NILIF(Neuron):
    """Normalised integer LIF: several inner steps on the same input, averaged.

    *Equation*, R inner steps from m = 0 on each x_t:

        m = d m + x;  s = round_half_even(clip(m, 0, D));  m = m - s (s detached);  y = mean(s) / D

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Multiplies*: none where decay is a power of two; the output is a multiple of 1 / (R D).
    *Raises*: ConfigError for levels or inner_steps below 1, or a decay outside 0..1.
    *Source*: SpikeViMFormer's NI-LIF (R = 4, D = 4, d = 0.5).
    """

    def __init__(self, levels: int = 4, *, inner_steps: int = 4, decay: float = 0.5) -> None:
        super().__init__()
        check_count("NILIF", "levels", levels)
        check_count("NILIF", "inner_steps", inner_steps)
        check_number("NILIF", "decay", decay, low=0, high=1)
        self.levels, self.inner_steps, self.decay = int(levels), int(inner_steps), float(decay)

    @property
    def domain(self) -> Domain:
        """Integers 0..levels * inner_steps times 1 / (levels * inner_steps)."""
        count = self.levels * self.inner_steps
        return Integer(count, 1 / count) if count > 1 else Binary()

    def rest(self, x: Float[Tensor, "T B *S"]) -> None:
        """Nothing is carried from step to step."""
        return

    def scan(self, x: Float[Tensor, "T B *S"], state: None) -> tuple[Float[Tensor, "T B *S"], None]:
        """The averaged integers, and no state."""
        y, _ = ilif_scan(
            x, levels=self.levels, decay=self.decay, repeats=self.inner_steps, scale=1 / self.levels
        )
        return y, None

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"levels={self.levels}, inner_steps={self.inner_steps}, decay={self.decay:g}"


def _check_choices(rounding: str, gate: str) -> None:
    if rounding not in ("half_even", "half_up"):
        raise unknown_name("rounding", rounding, ("half_even", "half_up"))
    if gate not in ("closed", "open"):
        raise unknown_name("gate", gate, ("closed", "open"))
