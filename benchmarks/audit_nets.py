"""Small networks in which counters go wrong, each with its count by hand.

Every one starts with neurons of this library, whose spikes on `x` are known: each second of eight inputs fires. So
whoever decides by value and whoever decides by proof see the same zeros, ones and integers. `additions` are those of
weights and of products with spikes; sums without a weight (shortcuts, pools, biases) are none. `multiplications`
include divisions and functions such as exp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.neurons import IF, ILIF, TernaryLIF


@dataclass(frozen=True)
class Trick:
    """A network, and what one sample costs by hand."""

    name: str
    build: Callable[[], nn.Module]
    additions: int
    multiplications: int
    x: Callable[[], Tensor] = lambda: wave(8)


class Then(nn.Module):
    """Neurons, then `body(layers, spikes)`."""

    def __init__(
        self, body: Callable[..., Tensor], *layers: nn.Module, neuron: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.neuron, self.layers, self.body = neuron or IF(), nn.ModuleList(layers), body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.layers, self.neuron(x))


class Sum(nn.Module):
    """Five spike trains added up, as five SEW blocks do."""

    def __init__(self) -> None:
        super().__init__()
        self.neurons, self.out = nn.ModuleList(IF() for _ in range(5)), linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.stack([neuron(x) for neuron in self.neurons]).sum(0))


def wave(*shape: int) -> Tensor:
    """One step of one sample: 4 and -4 in turn."""
    sign = 1 - 2 * (torch.arange(torch.Size(shape).numel()) % 2)
    return (4.0 * sign).view(1, 1, *shape)


def linear(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False)


def excite(m: nn.ModuleList, s: Tensor) -> Tensor:
    y = m[0](s.flatten(0, 1))
    return y * torch.sigmoid(m[1](y.mean((2, 3))))[:, :, None, None]


def attend(m: nn.ModuleList, s: Tensor) -> Tensor:
    return (s @ s.transpose(-1, -2)) @ s


def attend_softly(m: nn.ModuleList, s: Tensor) -> Tensor:
    q, k, v = (layer(s) for layer in m)
    return torch.softmax(q @ k.transpose(-1, -2), -1) @ v


def attend_torch(m: nn.ModuleList, s: Tensor) -> Tensor:
    y = m[0](s[0])
    return m[1](y, y, y, need_weights=False)[0]


SPIKES = 4 * 4
"""Four spikes into four outputs."""

TRICKS = (
    Trick("spikes, Linear", lambda: Then(lambda m, s: m[0](s), linear(8, 4)), SPIKES, 0),
    Trick("ternary spikes, Linear", lambda: Then(lambda m, s: m[0](s), linear(8, 4), neuron=TernaryLIF()), 8 * 4, 0),
    Trick("integers of 4, Linear", lambda: Then(lambda m, s: m[0](s), linear(8, 4), neuron=ILIF(4)), 4 * SPIKES, 0),
    Trick("SEW sum reaching 5, Linear", Sum, 5 * 4 + 5 * SPIKES, 0),
    Trick(
        "integers of 4, average pool, Linear",
        lambda: Then(lambda m, s: m[0](F.avg_pool1d(s[0], 2)), linear(4, 4), neuron=ILIF(4)), 4 * 4 + 4 * SPIKES, 0,
    ),
    Trick(
        "average pool, neuron, Linear",
        lambda: Then(lambda m, s: m[1](m[0](F.avg_pool1d(s[0], 2)[None])), IF(0.5), linear(4, 4)), 4 + SPIKES, 0,
    ),
    Trick("y / 2", lambda: Then(lambda m, s: m[0](s) / 2, linear(8, 4)), SPIKES, 0),
    Trick("y * y", lambda: Then(lambda m, s: m[0](s) ** 2, linear(8, 4)), SPIKES, 4),
    Trick(
        "exp(log a + log b)",
        lambda: Then(lambda m, s: (m[0](s).abs().log() + m[1](s).abs().log()).exp(), linear(8, 4), linear(8, 4)),
        2 * SPIKES, 3 * 4,
    ),
    Trick(
        "gate y * sigmoid(z)",
        lambda: Then(lambda m, s: m[0](s) * m[1](s).sigmoid(), linear(8, 4), linear(8, 4)), 2 * SPIKES, 4 + 2 * 4,
    ),
    Trick(
        "squeeze-excite of 4 channels of 2 x 2",
        lambda: Then(excite, nn.Conv2d(4, 4, 1, bias=False), linear(4, 4)), 8 * 4, 4 * 4 + 2 * 4 + 4 * 4,
        lambda: wave(4, 2, 2),
    ),
    Trick("LayerNorm of 4", lambda: Then(lambda m, s: m[1](m[0](s)), linear(8, 4), nn.LayerNorm(4)), SPIKES, 14),
    Trick("GELU", lambda: Then(lambda m, s: F.gelu(m[0](s)), linear(8, 4)), SPIKES, 3 * 4),
    Trick("attention of spikes, 2 tokens", lambda: Then(attend), 4 * 4 + 4 * 4, 0, lambda: wave(2, 8)),
    Trick(
        "attention with softmax, 2 tokens",
        lambda: Then(attend_softly, *(linear(8, 4) for _ in range(3))), 3 * 2 * SPIKES, 2 * 16 + 2 * 4,
        lambda: wave(2, 8),
    ),
    Trick(
        "Linear, nn.MultiheadAttention of 8, 2 tokens",
        lambda: Then(attend_torch, linear(8, 8), nn.MultiheadAttention(8, 1, bias=False, batch_first=True)),
        # projections, both products, and for each of 4 scores a scale, an exp and a division
        2 * 4 * 8, 2 * 4 * 8 * 8 + 2 * 32 + 3 * 4, lambda: wave(2, 8),
    ),
)  # fmt: skip
