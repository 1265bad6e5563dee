"""What a language model's last tokens cost, while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from spikedrive.auditing import audit
from spikedrive.training.meters import FiringRate

if TYPE_CHECKING:
    from spikedrive.blocks.language import LanguageModel


class EnergyMeter:
    """Joules a token by the audit's table, and spikes per neuron and token.

    The audit prices every layer on the tokens of the prompt, each from rest; what a layer costs later is that times
    its input's activity over its activity then. An operation that meets real numbers costs the same at any time.
    `firing_rate` is None where nothing was watched, and `joules` then the prompt's.
    """

    def __init__(self, model: LanguageModel, prompt: Sequence[int]) -> None:
        self._model, self._firing = model, FiringRate()
        ids = torch.tensor([list(prompt)[:64]])
        self._rows = [(row.module, row.joules) for row in audit(model, ids[:, :1], data=ids).layers]
        self._now: dict[str, float] = {}
        with torch.inference_mode(), self._counting():
            model(ids)
        self._then = {path: total / ids.shape[1] for path, total in self._now.items()}
        self.joules, self.firing_rate = sum(joules for _, joules in self._rows), None

    @contextmanager
    def watching(self, tokens: int) -> Iterator[None]:
        """Measure what runs inside, `tokens` tokens."""
        with self._firing.watching(self._model), self._counting():
            yield
        spikes, neurons = self._firing.totals()
        self.firing_rate: float | None = spikes / neurons if neurons else 0.0
        share = {path: self._now.get(path, 0.0) / tokens / then for path, then in self._then.items() if then}
        self.joules = sum(joules * share.get(module, 1.0) for module, joules in self._rows)

    @contextmanager
    def _counting(self) -> Iterator[None]:
        """Sum what every linear layer reads."""
        self._now = {}
        hooks = [
            layer.register_forward_pre_hook(self._counter(path))
            for path, layer in self._model.named_modules()
            if isinstance(layer, nn.Linear)
            and self._model.card
            and self._model.card.verdict_repaired != "hybrid"
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _counter(self, path: str):
        def count(_layer: nn.Module, given: tuple[Tensor, ...]) -> None:
            self._now[path] = float(given[0].abs().sum())

        return count
