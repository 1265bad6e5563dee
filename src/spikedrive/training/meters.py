"""What is measured while a model trains, without waiting for the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.neurons import Neuron


class FiringRate:
    """Spikes per neuron per step over the whole network, of the last pass inside `watching`.

    An integer s counts as s spikes, a real number as nothing: neurons that emit those are left out. The hooks live
    only inside `watching`, so that copies, exports and the passes in between know nothing of them.
    """

    def __init__(self) -> None:
        self._counts: list[tuple[Tensor, int]] = []

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Count what every neuron of `model` emits inside."""
        self._counts = []
        handles = [m.register_forward_hook(self._see) for m in model.modules() if isinstance(m, Neuron)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def totals(self) -> tuple[float, float]:
        """Spikes, and neurons times steps; waits for the device."""
        return sum(float(spikes) for spikes, _ in self._counts), float(sum(size for _, size in self._counts))

    def _see(self, module: nn.Module, args: Any, output: Tensor) -> None:
        assert isinstance(module, Neuron)
        domain = module.domain
        if domain is None:
            return
        counts = output.detach() if domain.low >= 0 else output.detach().abs()
        # half precision would stop counting at a few thousand
        spikes = counts.sum(dtype=torch.float64 if counts.dtype == torch.float64 else torch.float32)
        self._counts.append((spikes / domain.scale, output.numel()))


@dataclass
class Window:
    """What happened since the last line of the log, still on the device."""

    losses: list[Tensor] = field(default_factory=list)
    right: list[Tensor] = field(default_factory=list)
    images: int = 0
    seconds: float = 0.0

    def add(self, loss: Tensor, right: Tensor, images: int) -> None:
        """Take in one part of a step."""
        self.losses.append(loss)
        self.right.append(right)
        self.images += images
