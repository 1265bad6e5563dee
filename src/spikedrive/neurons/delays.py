"""Synapses with learned delays: a dilated convolution over time whose taps move."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from spikedrive.errors import ConfigError, ShapeError, unknown_name
from spikedrive.neurons._registry import register_cell
from spikedrive.neurons.neuron import Neuron, check_count, check_number
from spikedrive.ops import checks

Shape = Literal["gauss", "max", "linear"]

SHARPEST = 0.23
"""The smallest width that training takes: the original calls it the target of its schedule."""


@register_cell
class DelayedLinear(Neuron):
    """A linear layer whose synapses each wait for a number of steps of their own.

    *Equation*, with K = max_delay + 1 taps, and for each synapse weight w, position P in -K//2 .. K//2 and width
    SIG; d is the delay in steps and k the kernel over delays:

        y_t = sum over inputs and d of k[d] x_(t-d),  k[d] = w g(d) / (sum of g + 1e-7),  D = K//2 - P
        gauss   g(d) = exp(-((d - D) / (|SIG| + 0.27))^2 / 2)
        max     g(d) = max(0, |SIG| + 1 - |d - D|)
        linear  g(d) = max(0, 1 - |d - D|)                      ("v1" in the original)

    In eval mode each P is rounded to an integer and k[D] = w: an exact shift. `discrete` says so for
    training too, or keeps the soft kernel in eval mode.
    `count` synapses join every pair of input and output. After each optimiser step call `clamp_positions`;
    before each epoch `sharpen(epoch, epochs)`.

    *Shapes*: x (T, B, inputs) -> (T, B, features); the state is the last max_delay inputs.
    *Units*: delays in steps.
    *Multiplies*: none with spikes as input in eval mode; the real currents that it emits go into a neuron.
    *Raises*: ConfigError for a size below 1, an odd max_delay (the positions are symmetric) or a bad epoch;
    ShapeError for a sequence that is no longer than the longest delay, or another width.
    *Source*: DCLS delays (arXiv 2306.17670) and DCLS 0.1.1. The original pads the end of the sequence by K//2
    zeros, so each layer's output is longer than its input; here it is not: append zeros to get those steps.
    It is plain modules and no operation of its own: a convolution is one already.

    >>> DelayedLinear(3, 5, max_delay=4)(torch.zeros(9, 1, 3)).shape
    torch.Size([9, 1, 5])
    """

    def __init__(
        self,
        inputs: int,
        features: int,
        *,
        max_delay: int,
        count: int = 1,
        shape: Shape = "gauss",
        width: float | None = None,
        discrete: bool | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("inputs", inputs), ("features", features), ("count", count)):
            check_count("DelayedLinear", name, size)
        check_number("DelayedLinear", "max_delay", max_delay, low=2)
        if shape not in ("gauss", "max", "linear"):
            raise unknown_name("shape of a delay kernel", shape, ("gauss", "max", "linear"))
        if max_delay % 2:
            raise ConfigError(
                f"DelayedLinear got max_delay={max_delay}; it takes an even number, so that the positions are "
                f"symmetric around the middle tap. Take {max_delay + 1}."
            )
        self.inputs, self.features, self.count = int(inputs), int(features), int(count)
        self.max_delay, self.shape, self.discrete = int(max_delay), shape, discrete
        self.first_width = max_delay / 2 if width is None else float(width)
        check_number("DelayedLinear", "width", self.first_width, above=0)
        synapses = (features, inputs, count)
        self.weight = nn.Parameter(torch.empty(synapses))
        nn.init.kaiming_uniform_(self.weight.view(features, -1), a=math.sqrt(5))
        # the originals have an axis for each axis of the kernel
        self.P = nn.Parameter(torch.empty(1, *synapses).uniform_(-max_delay / 2, max_delay / 2))
        self.SIG = nn.Parameter(torch.full((1, *synapses), self.first_width)) if shape != "linear" else None

    @property
    def domain(self) -> None:
        """Real numbers."""
        return

    def delays(self) -> Float[Tensor, "O I N"]:
        """The delay of each synapse in steps."""
        return self.max_delay // 2 - self.P[0]

    def kernel(self) -> Float[Tensor, "O I K"]:
        """The weight of each delay 0 .. max_delay, as this mode has it."""
        taps = torch.arange(self.max_delay + 1, device=self.P.device, dtype=self.P.dtype)
        discrete = not self.training if self.discrete is None else self.discrete
        if discrete:
            at = (self.max_delay // 2 - self.P[0].round()).clamp(0, self.max_delay)
            return ((taps == at[..., None]) * self.weight[..., None]).sum(-2)
        distance = taps - self.delays()[..., None]
        if self.shape == "gauss":
            g = (-0.5 * (distance / (self._widths() + 0.27)) ** 2).exp()
        else:
            g = ((self._widths() if self.shape == "max" else 0) + 1 - distance.abs()).relu()
        return (self.weight[..., None] * g / (g.sum(-1, keepdim=True) + 1e-7)).sum(-2)

    def rest(self, x: Float[Tensor, "T B I"]) -> Float[Tensor, "K B I"]:
        """No input so far."""
        # a stream comes in chunks of any length; a whole sequence says how long it is
        if self._cell is None and x.shape[0] <= self.max_delay:
            raise ShapeError(
                f"DelayedLinear got x of shape {tuple(x.shape)}, no longer than its longest delay of {self.max_delay} "
                "steps; it takes more steps than that. Encode more steps, or lower max_delay."
            )
        return x.new_zeros(self.max_delay, *x.shape[1:])

    def scan(
        self, x: Float[Tensor, "T B I"], state: Float[Tensor, "K B I"]
    ) -> tuple[Float[Tensor, "T B O"], Float[Tensor, "K B I"]]:
        """The delayed sums, and the last inputs."""
        checks.cell_input("DelayedLinear", x, self.inputs)
        known = torch.cat([state, x])
        # a convolution runs its kernel from the oldest input on
        y = functional.conv1d(known.permute(1, 2, 0), self.kernel().flip(-1))
        return y.permute(2, 0, 1), known[x.shape[0] :]

    @torch.no_grad()
    def clamp_positions(self) -> None:
        """Bring every delay back into 0 .. max_delay."""
        self.P.clamp_(-self.max_delay / 2, self.max_delay / 2)

    @torch.no_grad()
    def sharpen(self, epoch: int, epochs: int) -> None:
        """Set every width as the schedule has it before `epoch` (from 0) of `epochs`.

        *Equation*: SIG = SIG_0 (0.23 / SIG_0)^(epoch / E) up to epoch E = epochs / 4, then 0.23. The widths
        have no gradient before that.
        """
        check_count("sharpen", "epochs", epochs)
        check_number("sharpen", "epoch", epoch, low=0)
        if self.SIG is None:
            return
        share = min(1.0, epoch / (epochs / 4))
        self.SIG.fill_(self.first_width * (SHARPEST / self.first_width) ** share)
        self.SIG.requires_grad_(share == 1.0)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return (
            f"inputs={self.inputs}, features={self.features}, max_delay={self.max_delay}, count={self.count}, "
            f"shape={self.shape}"
        )

    def _widths(self) -> Tensor:
        assert self.SIG is not None
        return self.SIG[0].abs()[..., None]
