"""The two networks of the training benchmark; the neuron is an argument, everything else is the same for all."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks import ConvBN
from spikedrive.ops import over_time

MakeNeuron = Callable[[], Callable[[Tensor], Tensor]]

STEPS, BATCH, CLASSES = 4, 8, 10


class Act(nn.Module):
    """Any scan as a module."""

    def __init__(self, neuron: MakeNeuron) -> None:
        super().__init__()
        self.scan = neuron()

    def forward(self, x: Tensor) -> Tensor:
        return self.scan(x)


class SpikingVGG(nn.Module):
    """Four convolutions with BatchNorm and neurons on 32 x 32 images.

    Shapes: x (B, 3, 32, 32) -> (B, 10).
    """

    widths = (3, 32, 64, 64, 128)

    def __init__(self, neuron: MakeNeuron) -> None:
        super().__init__()
        pairs = zip(self.widths, self.widths[1:], strict=False)
        self.convs = nn.ModuleList(ConvBN(before, after, 3) for before, after in pairs)
        self.neurons = nn.ModuleList(Act(neuron) for _ in self.convs)
        self.head = nn.Linear(self.widths[-1] * 4 * 4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = x.expand(STEPS, *x.shape)
        for depth, (conv, neuron) in enumerate(zip(self.convs, self.neurons, strict=True)):
            x = neuron(over_time(conv, x))
            if depth:
                x = over_time(lambda y: F.max_pool2d(y, 2), x)
        return self.head(x.flatten(2)).mean(0)


class LinearBNNeuron(nn.Module):
    """Shapes: x (T, B, N, C) -> (T, B, N, C')."""

    def __init__(self, in_features: int, out_features: int, neuron: MakeNeuron) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=False)
        self.bn = nn.BatchNorm1d(out_features)
        self.neuron = Act(neuron)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(self.linear(x).flatten(0, 2))
        return self.neuron(y.view(*x.shape[:3], -1))


class SpikformerBlock(nn.Module):
    """Spiking self-attention without a softmax and an MLP, each on a shortcut, and a head.

    Shapes: x (T, B, N, C) spikes -> (B, 10).
    """

    tokens, width, heads = 64, 192, 6

    def __init__(self, neuron: MakeNeuron) -> None:
        super().__init__()
        width = self.width
        self.query, self.key, self.value, self.out = (LinearBNNeuron(width, width, neuron) for _ in range(4))
        self.mixed = Act(neuron)
        self.mlp = nn.Sequential(
            LinearBNNeuron(width, 4 * width, neuron), LinearBNNeuron(4 * width, width, neuron)
        )
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self._by_head(part(x)) for part in (self.query, self.key, self.value))
        mixed = q @ (k.transpose(-2, -1) @ v) * 0.125
        x = x + self.out(self.mixed(mixed.transpose(2, 3).flatten(3)))
        x = x + self.mlp(x)
        return self.head(x.mean((0, 2)))

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(2, 3)


def build(kind: str, neuron: MakeNeuron) -> tuple[nn.Module, Tensor]:
    """The network and an input for it; the same weights and input at every call."""
    torch.manual_seed(0)
    if kind == "vgg":
        return SpikingVGG(neuron), torch.randn(BATCH, 3, 32, 32)
    net = SpikformerBlock(neuron)
    spikes = torch.rand(STEPS, BATCH, net.tokens, net.width) < 0.2
    return net, spikes.float()


def without_norm(net: nn.Module) -> None:
    """Replace every BatchNorm by nothing: what is left of a step is a bound on any fusion with it."""
    for module in net.modules():
        if hasattr(module, "bn"):
            module.bn = nn.Identity()
