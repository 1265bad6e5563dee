"""A small plain network around any neuron, for tests of the lowering."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.encoders import Direct
from spikedrive.neurons import LIF, PLIF, Neuron
from spikedrive.ops.fold import over_time

MEAN, STD = (0.3, 0.5), (0.25, 0.2)


class Chain(nn.Module):
    """Two convolutions with neurons and a shortcut between their membranes, a pooled head: 2 x 7 x 5 to 3 classes."""

    def __init__(self, steps: int, *neurons: Callable[[], Neuron]) -> None:
        super().__init__()
        torch.manual_seed(0)
        first, second, last = neurons * 3 if len(neurons) == 1 else neurons
        self.encoder = Direct(steps)
        self.stem, self.first = nn.Conv2d(2, 6, 3, (2, 1), 1), first()
        self.mix, self.second = nn.Conv2d(6, 6, 3, padding=1, groups=6), second()
        self.out, self.last = nn.Conv2d(6, 6, 1, bias=False), last()
        self.head = nn.Linear(6, 3)
        with torch.no_grad():
            for layer in (self.stem, self.mix, self.out):
                layer.weight.mul_(2)

    def forward(self, x: Tensor) -> Tensor:
        x = over_time(self.stem, self.encoder(x))
        y = over_time(self.mix, self.first(x))
        x = x + over_time(self.out, self.second(y))
        return self.head(self.last(x.mean((3, 4)))).mean(0)


def images(model_like: Tensor | tuple[int, ...], count: int = 16) -> np.ndarray:
    """Random images, and the two extremes, like one of shape (C, H, W)."""
    shape = tuple(model_like)
    pixels = np.random.default_rng(3).integers(0, 256, (count, *shape)).astype(np.uint8)
    pixels[0], pixels[1] = 0, 255
    return pixels


class Menu(nn.Module):
    """Many expressions of the image x, of its spikes s (1, B, 4, 7, 5) and of layers, each an answer of its own."""

    def __init__(self, expressions: Sequence[str]) -> None:
        super().__init__()
        self.conv, self.n, self.head = nn.Conv2d(2, 4, 3, padding=1), LIF(), nn.Linear(4, 3)
        self.same, self.two, self.flat = nn.Conv2d(4, 4, 1), nn.Linear(2, 3), nn.Linear(70, 3)
        self.p = nn.Parameter(torch.ones(5))
        self.expressions = expressions

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        s = self.n(self.conv(x).unsqueeze(0))
        names = {"self": self, "x": x, "s": s, "F": F, "torch": torch}
        return tuple(eval(expression, names) for expression in self.expressions)


def learned() -> PLIF:
    """A neuron whose leak is no power of two."""
    neuron = PLIF()
    neuron.w.data += 0.25
    return neuron
