"""From membrane potentials to logits: where T ends."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikedrive.blocks.linear import DistilledLinear
from spikedrive.blocks.neuron import NeuronLike, integer_neuron, make_neuron
from spikedrive.state import Stateful


class MeanOverTime(Stateful):
    """The mean over all steps so far, so that a stream can answer at any time.

    *Equation*: y = (1 / T) sum_t x_t, T counted from the start of the stream.
    *Shapes*: x (T, B, K) -> (B, K).
    *Multiplies*: one factor 1/T a logit, which changes no argmax; the engine leaves it out.
    """

    def rest(self, x: Tensor) -> None:
        """Nothing was seen yet."""
        return

    def scan(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The mean, and the state (sum (B, K), number of steps ())."""
        if state is None:
            return x.mean(0), (x.sum(0), torch.full((), x.shape[0], dtype=x.dtype, device=x.device))
        total, steps = state[0] + x.sum(0), state[1] + x.shape[0]
        return total / steps, (total, steps)


class ClassifyHead(nn.Module):
    """Mean over positions, neuron, linear layer, mean over T.

    *Shapes*: x (T, B, C, H, W) -> (B, K); with `per_step` (T, B, K), for losses such as TET.
    With `distilled` there are two linear layers: in training (labels', teacher's), in eval their mean.
    With `integers` an integer neuron emits 0..D here, whatever its output scale is elsewhere.
    With `neuron=None` x are spikes already and the linear layer meets their sums.
    *Multiplies*: the mean over positions folds into the neuron's threshold, or into the weight without a neuron.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        neuron: NeuronLike | None = "LIF",
        per_step: bool = False,
        distilled: bool = False,
        integers: bool = False,
    ) -> None:
        super().__init__()
        make = integer_neuron if integers else make_neuron
        self.neuron = nn.Identity() if neuron is None else make(neuron)
        self.linear = DistilledLinear(channels, classes) if distilled else nn.Linear(channels, classes)
        self.readout = nn.Identity() if per_step else MeanOverTime()
        if distilled:
            # a carried state belongs to one place, so the second answer has a readout of its own
            self.teacher_readout = nn.Identity() if per_step else MeanOverTime()

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits."""
        y = self.linear(self.neuron(x.mean((3, 4))))
        if isinstance(y, tuple):
            return self.readout(y[0]), self.teacher_readout(y[1])
        return self.readout(y)
