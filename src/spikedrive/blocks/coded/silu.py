"""SiLU as a staircase: neurons whose pulses have learned heights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.errors import CheckpointError, ConfigError
from spikedrive.neurons.neuron import check_count


class PulseNeuron(nn.Module):
    """A neuron that is driven with one number for some steps, never reset, and emits a pulse of its own height a step.

    *Equation*, in step t, from v = 0:

        charge  v = d v + x
        output  y = y + p_t [v >= upper + a_t] + m_t [v <= lower + b_t]

    NaN stays NaN.

    *Shapes*: x (...) -> (...).
    *Multiplies*: the leak d v; pulses are selected, not multiplied.
    *Source*: BrainTransformers (arXiv 2410.14687) and its release.
    """

    def __init__(self, upper: float, lower: float, decay: float, steps: int, *, pulse: float) -> None:
        super().__init__()
        self.upper, self.lower, self.decay, self.steps = upper, lower, decay, steps
        self.upper_offset, self.lower_offset = (
            nn.Parameter(torch.zeros(steps)),
            nn.Parameter(torch.zeros(steps)),
        )
        self.upper_pulse = nn.Parameter(torch.full((steps,), pulse))
        self.lower_pulse = nn.Parameter(torch.full((steps,), -pulse))

    def forward(self, x: Tensor) -> Tensor:
        """The sum of the pulses."""
        v, y = torch.zeros_like(x), torch.zeros_like(x)
        for t in range(self.steps):
            v = v * self.decay + x
            y = y + torch.where(v >= self.upper + self.upper_offset[t], self.upper_pulse[t], 0.0)
            y = y + torch.where(v <= self.lower + self.lower_offset[t], self.lower_pulse[t], 0.0)
        # no comparison holds of NaN, which would come out as zero
        return torch.where(x.isnan(), x, y)

    def place(self, points: Tensor, heights: Tensor) -> None:
        """One stair a step: y rises by `heights[t]` where x reaches `points[t]`, and by nothing below zero.

        Shapes: points, heights (steps,). The points are positive.
        """
        reached = torch.tensor([sum(self.decay**i for i in range(t + 1)) for t in range(self.steps)])
        with torch.no_grad():
            self.upper_offset.copy_(points * reached - self.upper)
            self.upper_pulse.copy_(heights)
            self.lower_pulse.zero_()


class Pulses(nn.ModuleList):
    """Some of these neurons."""

    if TYPE_CHECKING:

        def __iter__(self) -> Iterator[PulseNeuron]: ...  # type: ignore[override]


class SpikingSiLU(nn.Module):
    """x sigmoid(x) by pulses: three neurons for x >= 0, and below zero one for each of three ranges.

    Below -6 it is 0, and NaN stays NaN. `stairs` gives pulses that fit SiLU as well as so many stairs can; the
    release's own trained pulses are not in its repository.

    *Shapes*: x (...) -> (...).
    *Multiplies*: the leaks of its neurons. Its output is a real number, and in a model it is multiplied by another.
    *Raises*: ConfigError for a `detail` below 1; CheckpointError for a state dict that is none of the release's.
    *Source*: BrainTransformers (arXiv 2410.14687), whose number of steps is `detail=1`.
    """

    def __init__(self, *, detail: int = 1) -> None:
        super().__init__()
        check_count("SpikingSiLU", "detail", detail)
        self.detail = detail = int(detail)
        self.positive = Pulses(
            PulseNeuron(threshold, -threshold, decay, 10 * detail, pulse=0.02)
            for threshold, decay in ((0.3, 0.95), (0.3, 0.95), (5.0, 1.0))
        )
        # near zero, between, and far from it
        self.negative = Pulses(
            PulseNeuron(1.0, lower, decay, steps * detail, pulse=0.005)
            for lower, decay, steps in ((-0.5, 0.995, 20), (-2.0, 0.99, 10), (-4.0, 0.99, 5))
        )
        self.cutoffs = nn.Parameter(torch.tensor([-2.0, -4.0]))

    @classmethod
    def stairs(cls, *, detail: int = 1, reach: float = 8.0) -> SpikingSiLU:
        """One whose stairs divide SiLU's range up to `reach` evenly; what is larger than `reach` gives SiLU(reach).

        Raises: ConfigError for a `reach` of zero or less.
        """
        if not reach > 0:
            raise ConfigError(
                f"SpikingSiLU.stairs got reach={reach}; it takes a number above 0. Use the largest input."
            )
        made = cls(detail=detail)
        steps = [neuron.steps for neuron in made.positive]
        points, heights = _even_stairs(0.0, reach, sum(steps))
        for neuron, x, y in zip(made.positive, points.split(steps), heights.split(steps), strict=True):
            neuron.place(x, y)
        for neuron, near, far in zip(made.negative, (0.0, -2.0, -4.0), (-2.0, -4.0, -6.0), strict=True):
            neuron.place(*_stairs_below(near, far, neuron.steps))
        return made

    @classmethod
    def from_reference(cls, state_dict: dict[str, Tensor]) -> SpikingSiLU:
        """The release's SiLUApproximator with these parameters.

        Raises: CheckpointError for other entries, or others of their shapes.
        """
        made, ours = cls(), {}
        for kind, part, names in (("pos", "positive", "123"), ("neg", "negative", "ABC")):
            for i, letter in enumerate(names):
                for side, own in (("pos", "upper"), ("neg", "lower")):
                    for theirs, what in (("threshold_params", "offset"), ("pulse_params", "pulse")):
                        ours[f"{kind}_model.neuron{letter}.{side}_{theirs}"] = f"{part}.{i}.{own}_{what}"
        cutoffs = ["neg_model.cutoff1", "neg_model.cutoff2"]
        unlike = sorted(set(ours).union(cutoffs) ^ set(state_dict))
        if unlike:
            raise CheckpointError(
                f"SpikingSiLU.from_reference got a state dict that differs in {', '.join(unlike[:4])}; it takes the 26 "
                "entries of a released SiLUApproximator. Give those of one layer's act_fn, without their prefix."
            )
        own = made.state_dict()
        shapes = {theirs: own[name].shape for theirs, name in ours.items()} | dict.fromkeys(
            cutoffs, torch.Size()
        )
        for name, shape in shapes.items():
            if state_dict[name].shape != shape:
                raise CheckpointError(
                    f"SpikingSiLU.from_reference got {name} of shape {tuple(state_dict[name].shape)}; the release has "
                    f"{tuple(shape)} there. Give the parameters of its SiLUApproximator as they were saved."
                )
        renamed = {name: state_dict[theirs] for theirs, name in ours.items()}
        made.load_state_dict(renamed | {"cutoffs": torch.stack([state_dict[name] for name in cutoffs])})
        return made

    def forward(self, x: Tensor) -> Tensor:
        """The sum of the pulses that belong to x's range."""
        near, far = self.cutoffs
        above = sum((neuron(x) for neuron in self.positive), torch.zeros_like(x))
        ranges = ((x < 0) & (x >= near), (x < near) & (x >= far), (x < far) & (x >= -6))
        below = sum(
            (
                torch.where(inside, neuron(-x), 0.0)
                for inside, neuron in zip(ranges, self.negative, strict=True)
            ),
            torch.zeros_like(x),
        )
        # NaN is in none of the ranges below zero
        return torch.where((x >= 0) | x.isnan(), above, below)


def _even_stairs(low: float, high: float, count: int) -> tuple[Tensor, Tensor]:
    """Where SiLU, which rises there, crosses the middles between levels of equal distance, and that distance."""
    grid = torch.linspace(low, high, 100_001, dtype=torch.float64)
    values = F.silu(grid)
    rise = float(values[-1] - values[0]) / count
    wanted = values[0] + rise * (torch.arange(count, dtype=torch.float64) + 0.5)
    return grid[torch.searchsorted(values, wanted)].float(), torch.full((count,), rise)


def _stairs_below(near: float, far: float, count: int) -> tuple[Tensor, Tensor]:
    """Stairs along -x from `near` to `far`, each up or down to the mean of SiLU over its part."""
    width = (near - far) / count
    starts = -near + width * torch.arange(count, dtype=torch.float64)
    within = starts[:, None] + width * (torch.arange(64, dtype=torch.float64) + 0.5) / 64
    means = F.silu(-within).mean(1)
    # the first stair stands where its range begins, and -0 has passed it
    points = torch.where(starts > 0, starts, math.ulp(1.0))
    return points.float(), torch.diff(means, prepend=means.new_zeros(1)).float()
