"""What a language model's tokens cost, counted while it runs."""

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
from spikedrive.engine.arithmetic import Linear
from spikedrive.errors import ConfigError
from spikedrive.training.meters import FiringRate

if TYPE_CHECKING:
    from spikedrive.blocks.language import LanguageModel
    from spikedrive.engine.runtime import Result
    from spikedrive.engine.stream import Stream

PRICED = 64
"""Tokens of the prompt on which the audit measures; what it finds is counted again at every token."""


@dataclass(frozen=True)
class Spent:
    """What some tokens did that were read in one call.

    *Units*: `joules` of all of them; `sites` are neurons times tokens.
    """

    tokens: int
    spikes: float
    sites: float
    joules: float


class EnergyMeter:
    """Joules a token by one of the audit's tables, and spikes per neuron and token, over everything that was read.

    Which layers are counted is what the audit proves of the model: a linear layer that reads spikes or integers costs
    an addition for each of them and each output, and these are counted at every token. Whatever else the audit prices
    costs the same at any token.

    *Equation*: joules a token = fixed + sum over those layers of (mean integer read) x (dense MACs) x (an addition).
    """

    def __init__(self, model: LanguageModel, prompt: Sequence[int]) -> None:
        ids = torch.tensor([list(prompt)[:PRICED]])
        found = audit(model, ids[:, :1], data=ids)
        self.table = str(found.table["name"])
        addition = TABLES[self.table].addition
        layers = {path for path, layer in model.named_modules() if isinstance(layer, nn.Linear)}
        counted = [
            row for row in found.layers if row.module in layers and row.unit and row.firing_rate is not None
        ]
        self._units = {row.module: row.unit or 1.0 for row in counted}
        self._prices = {row.module: row.dense_macs * addition for row in counted}
        measured = sum((row.firing_rate or 0.0) * self._prices[row.module] for row in counted)
        self._fixed = found.totals["joules"] - measured
        self._model = model
        self.neuron_layers = len(model.neurons())
        self.spent: list[Spent] = []

    @property
    def tokens(self) -> int:
        """How many were read."""
        return sum(part.tokens for part in self.spent)

    @property
    def firing_rate(self) -> float | None:
        """Spikes per neuron and token; None where no neuron sends spikes."""
        sites = sum(part.sites for part in self.spent)
        return sum(part.spikes for part in self.spent) / sites if sites else None

    @property
    def joules(self) -> float:
        """The mean of a token."""
        return sum(part.joules for part in self.spent) / max(1, self.tokens)

    @property
    def median_joules(self) -> float:
        """The median of the tokens that were read one by one; of all, where none was."""
        singles = [part.joules for part in self.spent if part.tokens == 1]
        return median(singles) if singles else self.joules

    @contextmanager
    def watching(self, tokens: int) -> Iterator[None]:
        """Count what the model does inside, `tokens` tokens in one call."""
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
        self._add(tokens, *firing.totals(), means)

    def step(self, stream: Stream, token: int) -> Result:
        """The answer of the model's integer program to one more token, which is counted.

        *Raises*: ConfigError for a program without a layer that the audit counts, which is of another model.
        """
        program = stream.program
        reads = {op.module: op.inputs[0] for op in program.ops if isinstance(op, Linear)}
        missing = sorted(self._units.keys() - reads.keys())
        if missing:
            raise ConfigError(
                f"EnergyMeter got a program without the layer {missing[0]}; it counts the program of its model. "
                "Compile the model that was audited."
            )
        wanted = [*program.neurons.values(), *(reads[path] for path in self._units)]
        answer = stream(np.array([token]), tensors=list(dict.fromkeys(wanted)))
        integers = {name: abs(array.astype(np.int64)) for name, array in answer.tensors.items()}
        means = {
            path: integers[name].mean() * program.values[name].scale / unit
            for path, unit in self._units.items()
            for name in (reads[path],)
        }
        fired = [integers[name] for name in program.neurons.values()]
        self._add(1, sum(int(part.sum()) for part in fired), sum(part.size for part in fired), means)
        return answer

    def _add(self, tokens: int, spikes: float, sites: float, means: Mapping[str, float]) -> None:
        each = self._fixed + sum(means[path] * price for path, price in self._prices.items())
        self.spent.append(Spent(tokens, spikes, sites, tokens * each))


def _reader(path: str, unit: float, means: dict[str, float]):
    """A hook that keeps the mean integer of what a layer reads."""

    def read(_layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        means[path] = float(given[0].abs().sum(dtype=torch.float64)) / given[0].numel() / unit

    return read
