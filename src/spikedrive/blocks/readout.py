"""From membrane potentials to logits: where T ends."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks.linear import DistilledLinear, NormPoolLinear
from spikedrive.blocks.neuron import NeuronLike, integer_neuron, make_neuron
from spikedrive.blocks.residual import Dropout
from spikedrive.neurons.neuron import check_count, check_number
from spikedrive.ops.fold import over_time
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


class LeakyMean(Stateful):
    """An average over the steps so far in which older ones fade.

    *Equation*: y_t = y_(t-1) + (x_t - y_(t-1)) / 2^shift, from y = 0; with shift 0, x itself.
    *Shapes*: x (T, B, ...) -> the same.
    *Multiplies*: none: a shift, a difference and a sum an element.
    *Raises*: ConfigError for a shift that is no whole number of 0 or more.
    """

    def __init__(self, shift: int = 2) -> None:
        super().__init__()
        check_number("LeakyMean", "shift", shift, low=0)
        self.shift = int(shift)

    def rest(self, x: Tensor) -> Tensor:
        """Zeros."""
        return torch.zeros_like(x[0])

    def scan(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The averages, and the last one."""
        if not self.shift:
            return x, x[-1] if len(x) else state
        averages = []
        for step in x:
            state = state + (step - state) * 2.0**-self.shift
            averages.append(state)
        return torch.stack(averages), state


class ClassifyHead(nn.Module):
    """Mean over positions, neuron, linear layer, mean over T.

    *Shapes*: x (T, B, C, H, W) -> (B, K); with `per_step` (T, B, K), for losses such as TET.
    With `distilled` there are two linear layers: in training (labels', teacher's), in eval their mean.
    With `integers` an integer neuron emits 0..D here, whatever its output scale is elsewhere.
    With `neuron=None` x are spikes already and the linear layer meets their sums; with `pool_spikes` the mean is taken
    behind the neuron, to the same end.
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
        pool_spikes: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        make = integer_neuron if integers else make_neuron
        self.neuron = nn.Identity() if neuron is None else make(neuron)
        self.pool_spikes = pool_spikes
        self.dropout = Dropout(dropout)
        self.linear = DistilledLinear(channels, classes) if distilled else nn.Linear(channels, classes)
        self.readout = nn.Identity() if per_step else MeanOverTime()
        if distilled:
            # a carried state belongs to one place, so the second answer has a readout of its own
            self.teacher_readout = nn.Identity() if per_step else MeanOverTime()

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits."""
        s = self.neuron(x).mean((3, 4)) if self.pool_spikes else self.neuron(x.mean((3, 4)))
        y = self.linear(self.dropout(s))
        if isinstance(y, tuple):
            return self.readout(y[0]), self.teacher_readout(y[1])
        return self.readout(y)


class NormHead(nn.Module):
    """BatchNorm on spikes, mean over positions, linear layer, mean over T.

    *Shapes*: x (T, B, C, H, W) -> (B, K).
    *Multiplies*: none where x are integers, see `NormPoolLinear`.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.linear = NormPoolLinear(channels, classes)
        self.readout = MeanOverTime()

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.readout(over_time(self.linear, x))


class LayerNormHead(nn.Module):
    """LayerNorm over channels, mean over positions, linear layer, mean over T.

    *Shapes*: x (T, B, C, H, W) -> (B, K).
    *Multiplies*: the LayerNorm.
    *Source*: Swin (arXiv 2103.14030).
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.linear = nn.Linear(channels, classes)
        self.readout = MeanOverTime()
        nn.init.trunc_normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.readout(self.linear(self.norm(x.movedim(2, 4)).mean((2, 3))))


class FlatHead(nn.Module):
    """[Average to `size` positions,] linear layers with neurons behind the hidden ones, mean over T.

    `size` is (height, width), or one number where both are equal.
    `hidden` names the widths of the hidden layers, `dropout` what each of them loses while training. With
    `neuron_last` the last layer has a neuron too, and the answer is its firing rate.

    *Shapes*: x (T, B, C, H, W), spikes -> (B, K). Where (H, W) is `size` nothing is averaged.
    *Multiplies*: none: every layer meets spikes, or sums of them whose mean folds into its weight where all windows
    are equal.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        size: int | tuple[int, int],
        hidden: Sequence[int],
        neuron: NeuronLike = "LIF",
        dropout: float = 0.0,
        neuron_last: bool = False,
    ) -> None:
        super().__init__()
        self.size = as_positions(size)
        widths = (channels * self.size[0] * self.size[1], *hidden)
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.neurons = nn.ModuleList(make_neuron(neuron) for _ in hidden)
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(widths[-1], classes)
        self.neuron = make_neuron(neuron) if neuron_last else nn.Identity()
        self.readout = MeanOverTime()

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = flat_positions(x, self.size)
        for layer, neuron in zip(self.hidden, self.neurons, strict=True):
            x = self.dropout(neuron(layer(x)))
        return self.readout(self.neuron(self.linear(x)))


def as_positions(size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) of a map that is given as both, or as one number where it is square.

    >>> as_positions(7), as_positions([3, 4])
    ((7, 7), (3, 4))

    *Raises*: ConfigError for a size below 1.
    """
    height, width = (size, size) if isinstance(size, int) else size
    for value in (height, width):
        check_count("FlatHead", "size", value)
    return int(height), int(width)


def flat_positions(x: Tensor, size: tuple[int, int]) -> Tensor:
    """All values of the maps side by side, averaged to that size where they have another.

    *Shapes*: x (T, B, C, H, W) -> (T, B, C height width).
    """
    if x.shape[-2:] != size:
        x = over_time(lambda y: F.adaptive_avg_pool2d(y, size), x)
    return x.flatten(2)
