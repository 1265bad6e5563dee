"""What each step or token of a live input costs, counted while the model runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from spikedrive.auditing import TABLES, audit
from spikedrive.engine.arithmetic import Conv2d, Linear
from spikedrive.errors import ConfigError
from spikedrive.ops.domain import Domain
from spikedrive.training.meters import FiringRate

if TYPE_CHECKING:
    from spikedrive.blocks import SpikingModel
    from spikedrive.engine.runtime import Result
    from spikedrive.engine.stream import Stream

PRICED = 64
"""Tokens of the prompt on which the audit measures; what it finds is counted again at every token."""


@dataclass(frozen=True)
class Spent:
    """What some steps did that were taken in one call.

    *Units*: `joules` of all of them; `sites` are neurons times steps.
    """

    steps: int
    spikes: float
    sites: float
    joules: float


def text_meter(model: SpikingModel, prompt: Sequence[int]) -> EnergyMeter:
    """A meter of tokens, priced on the first ones of a prompt."""
    ids = torch.tensor([list(prompt)[:PRICED]])
    return EnergyMeter(model, ids[:, :1], ids)


class EnergyMeter:
    """Joules a step by one of the audit's tables, and spikes per neuron and step, over everything that was read.

    Which layers are counted is what the audit proves of the model: a linear or convolutional layer that reads spikes or
    integers costs an addition for each of them and each output it reaches, and these are counted at every step; one at
    a border, which reaches fewer, counts like the mean of those in `data`. Whatever else the audit prices costs the
    same at any step.

    `example` and `data` are those of `audit`, of a single step or token each; `inputs` are their domains.

    *Equation*: joules a step = fixed + sum over those layers of (mean integer read) x (additions of a mean of 1) x (an
    addition); the additions are those measured on `data`, the dense MACs where nothing fired there.
    """

    def __init__(
        self, model: SpikingModel, example: Tensor, data: Tensor, *, inputs: Sequence[Domain | None] = ()
    ) -> None:
        found = audit(model, example, data=data, inputs=inputs)
        self.table = str(found.table["name"])
        addition = TABLES[self.table].addition
        layers = {path for path, layer in model.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))}
        counted = [
            row for row in found.layers if row.module in layers and row.unit and row.firing_rate is not None
        ]
        self._units = {row.module: row.unit or 1.0 for row in counted}
        self._prices = {
            row.module: addition * (row.additions / row.firing_rate if row.firing_rate else row.dense_macs)
            for row in counted
        }
        measured = sum((row.firing_rate or 0.0) * self._prices[row.module] for row in counted)
        self._fixed = found.totals["joules"] - measured
        self._model = model
        self.neuron_layers = len(model.neurons())
        self.spent: list[Spent] = []

    @property
    def steps(self) -> int:
        """How many were read."""
        return sum(part.steps for part in self.spent)

    @property
    def firing_rate(self) -> float | None:
        """Spikes per neuron and step; None where no neuron sends spikes."""
        sites = sum(part.sites for part in self.spent)
        return sum(part.spikes for part in self.spent) / sites if sites else None

    @property
    def joules(self) -> float:
        """The mean of a step."""
        return sum(part.joules for part in self.spent) / max(1, self.steps)

    @property
    def median_joules(self) -> float:
        """The median of the steps that were read one by one; of all, where none was."""
        singles = [part.joules for part in self.spent if part.steps == 1]
        return median(singles) if singles else self.joules

    @contextmanager
    def watching(self, steps: int) -> Iterator[None]:
        """Count what the model does inside, `steps` steps in one call."""
        firing, means = FiringRate(), dict[str, float]()
        hooks = [
            self._model.get_submodule(path).register_forward_pre_hook(_reader(path, unit, means))
            for path, unit in self._units.items()
        ]
        try:
            with firing.watching(self._model):
                yield
        finally:
            for hook in hooks:
                hook.remove()
        self._add(steps, *firing.totals(), means)

    def step(self, stream: Stream, x: np.ndarray) -> Result:
        """The answer of the model's integer program to one more step (1, ...), which is counted.

        *Raises*: ConfigError for a program without a layer that the audit counts, which is of another model.
        """
        program = stream.program
        reads = {op.module: op.inputs[0] for op in program.ops if isinstance(op, (Conv2d, Linear))}
        missing = sorted(self._units.keys() - reads.keys())
        if missing:
            raise ConfigError(
                f"EnergyMeter got a program without the layer {missing[0]}; it counts the program of its model. "
                "Compile the model that was audited."
            )
        wanted = [*program.neurons.values(), *(reads[path] for path in self._units)]
        answer = stream(x, tensors=list(dict.fromkeys(wanted)))
        integers = {name: abs(array.astype(np.int64)) for name, array in answer.tensors.items()}
        means = {
            path: integers[name].mean() * program.values[name].scale / unit
            for path, unit in self._units.items()
            for name in (reads[path],)
        }
        fired = [integers[name] for name in program.neurons.values()]
        self._add(1, sum(int(part.sum()) for part in fired), sum(part.size for part in fired), means)
        return answer

    def _add(self, steps: int, spikes: float, sites: float, means: Mapping[str, float]) -> None:
        each = self._fixed + sum(means[path] * price for path, price in self._prices.items())
        self.spent.append(Spent(steps, spikes, sites, steps * each))


def _reader(path: str, unit: float, means: dict[str, float]):
    """A hook that keeps the mean integer of what a layer reads."""

    def read(_layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        means[path] = float(given[0].abs().sum(dtype=torch.float64)) / given[0].numel() / unit

    return read
