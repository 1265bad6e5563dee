"""Constants: which fold into weights and thresholds, which are shifts, and which multiply."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditing.nets import (
    FOUR,
    SPIKES,
    Case,
    Fire,
    Net,
    bn,
    conv,
    costs,
    linear,
    neuron_cost,
    scale,
    ternary,
    together,
)  # fmt: skip
from spikedrive.neurons import ILIF, LIF

LAYER = costs(additions=6 * 6, dense_macs=6 * 6)
CONV = costs(additions=96, dense_macs=96)


class Computed(nn.Module):
    """A weight that parameters and buffers make."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.size = nn.Parameter(torch.randn(5, 6)), nn.Parameter(torch.rand(5, 1))
        self.register_buffer("mask", (torch.rand(5, 6) > 0.2).float())

    def forward(self, x: Tensor) -> Tensor:
        weight = self.mask * self.size.exp() * self.weight / self.weight.norm(dim=1, keepdim=True)
        return F.linear(x, weight)


def forked(y: Tensor, change: Any) -> Tensor:
    """y and something made of it."""
    return y + change(y)


def batch_statistics(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, track_running_stats=False)


def plain_bn(channels: int) -> nn.Module:
    """Mean zero, variance one, as before training, without an epsilon that would make it no one."""
    return nn.BatchNorm2d(channels, eps=0.0)


def hand_leak(x: Tensor, fc: nn.Module, keep: float) -> Tensor:
    """Two steps of a leaky sum."""
    first = fc(x[:, 0])
    return (keep * first + fc(x[:, 1])).relu() + first


def weight_norm(layer: nn.Module) -> nn.Module:
    return nn.utils.parametrizations.weight_norm(layer)


CASES = [
    Case("half of a layer folds", lambda: Net(lambda x, fc: fc(x) * 0.5, fc=linear(6, 6)), (6,), inputs=SPIKES,
         counts=LAYER),
    Case("half a membrane that two read is a shift", lambda: Net(lambda x, fc: forked(fc(x), lambda y: y * 0.5),
         fc=linear(6, 6)), (6,), inputs=SPIKES, counts={**LAYER, **costs(shifts=6, sums=6)}),
    Case("three tenths of a membrane that two read", lambda: Net(lambda x, fc: forked(fc(x), lambda y: y * 0.3),
         fc=linear(6, 6)), (6,), "hybrid", {**LAYER, **costs(multiplications=6, sums=6)}, inputs=SPIKES),
    Case("a third of spikes before a layer", lambda: Net(lambda x, fc: fc(x / 3), fc=linear(6, 6)), (6,),
         inputs=SPIKES, counts=LAYER),
    Case("a third of a neuron's input", lambda: Net(lambda x, fc, n: n(forked(fc(x), torch.relu) / 3),
         fc=linear(6, 6), n=Fire()), (6,), inputs=SPIKES,
         counts=together(LAYER, costs(compares=6, sums=6), neuron_cost(6))),
    Case("a channel's gain after pooling folds", lambda: Net(lambda x, c: scale(F.avg_pool2d(c(x), 2), 3, 1, 1),
         c=conv(2, 3)), (2, 4, 4), inputs=SPIKES, counts={**CONV, **costs(sums=3 * 4 * 3)}),
    Case("a place's gain after a convolution does not fold", lambda: Net(lambda x, c: scale(c(x), 4, 4),
         c=conv(2, 3)), (2, 4, 4), "hybrid", {**CONV, **costs(multiplications=48)}, inputs=SPIKES),
    Case("a place's gain before a neuron folds", lambda: Net(lambda x, c, n: n(scale(c(x), 4, 4)), c=conv(2, 3),
         n=Fire()), (2, 4, 4), inputs=SPIKES, counts=together(CONV, neuron_cost(48))),
    Case("a gain for each step does not fold", lambda: Net(lambda x, n: n(scale(x, 3, 1, 1)), n=LIF()), (3, 4),
         "hybrid", together(costs(multiplications=12), neuron_cost(4, 3, leak=True)), batch_axis=1),
    Case("one gain for all steps folds", lambda: Net(lambda x, n: n(scale(x, 4)), n=LIF()), (3, 4), batch_axis=1,
         counts=neuron_cost(4, 3, leak=True)),
    Case("a channel's gain after joined channels folds", lambda: Net(lambda x, c, d: scale(
         torch.cat([c(x), d(x)], 1), 5, 1, 1), c=conv(2, 3), d=conv(2, 2)), (2, 4, 4), inputs=SPIKES,
         counts=costs(additions=160, dense_macs=160)),
    Case("a channel's gain after shuffled channels folds", lambda: Net(lambda x, c: scale(
         c(x).unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2), 4, 1, 1), c=conv(2, 4)), (2, 4, 4), inputs=SPIKES,
         counts=costs(additions=128, dense_macs=128)),
    Case("a gain of half a layer's channels folds", lambda: Net(lambda x, c: torch.cat([
         c(x).chunk(2, 1)[0] * 0.3, c(x).chunk(2, 1)[1]], 1), c=conv(2, 4)), (2, 4, 4), inputs=SPIKES,
         counts=costs(additions=256, dense_macs=256)),
    Case("a gain after a limit that only grows folds into what is next", lambda: Net(lambda x, a, n: n(
         a(x).relu() * 0.3), a=linear(6, 6), n=Fire()), (6,), inputs=SPIKES,
         counts=together(LAYER, costs(compares=6), neuron_cost(6))),
    Case("signs and a gain fold into no weight", lambda: Net(lambda x, fc: scale(fc(x), 2),
         fc=ternary(linear(3, 2), 1.0)), (3,), "hybrid",
         # four signs that are not zero; scaled they would be real weights
         costs(additions=4, dense_macs=6, multiplications=2)),
    Case("signs and a gain before a neuron", lambda: Net(lambda x, fc, n: n(fc(x) * 0.3), n=Fire(),
         fc=ternary(linear(3, 2), 1.0)), (3,), counts=together(costs(additions=4, dense_macs=6), neuron_cost(2))),
    Case("BatchNorm of pixels folds into the first layer", lambda: Net(lambda x, b, c: c(b(x)), b=bn(2),
         c=conv(2, 3)), (2, 4, 4), counts=costs(multiplications=96, dense_macs=96, sums=48), analog=("parts.c",)),
    Case("BatchNorm of spikes folds into the next layer", lambda: Net(lambda x, b, c: c(b(x)), b=bn(2),
         c=conv(2, 3)), (2, 4, 4), inputs=SPIKES, counts={**CONV, **costs(sums=48)}),
    Case("BatchNorm of spikes in a shortcut", lambda: Net(lambda x, b, c: c(x) + b(x), b=bn(2), c=conv(2, 2)),
         (2, 4, 4), inputs=SPIKES,
         # a spike adds the constant of its channel, and every place its shift
         counts=costs(additions=64 + 32, dense_macs=64, sums=32 + 32)),
    Case("BatchNorm between two convolutions of real numbers", lambda: Net(lambda x, c, b, d: d(b(c(x))),
         c=conv(2, 3), b=bn(3), d=conv(3, 2)), (2, 4, 4), "hybrid", inputs=SPIKES,
         counts=costs(additions=96, dense_macs=96 + 96, multiplications=96, sums=48)),
    Case("BatchNorm after a nonlinearity, before a convolution", lambda: Net(lambda x, c, b, d: d(b(c(x).relu())),
         c=conv(2, 3), b=bn(3), d=conv(3, 2)), (2, 4, 4), "hybrid", inputs=SPIKES,
         # it folds forward, as a bias, but the convolution of real numbers stays
         counts=costs(additions=96, dense_macs=192, compares=48, multiplications=96, sums=32)),
    Case("BatchNorm before training changes nothing", lambda: Net(lambda x, c, b: forked(c(x), b), c=conv(2, 3),
         b=plain_bn(3)), (2, 4, 4), inputs=SPIKES, counts={**CONV, **costs(sums=48)}),
    Case("BatchNorm on the statistics of the batch", lambda: Net(lambda x, c, b: b(c(x)), c=conv(2, 3),
         b=batch_statistics(3)), (2, 4, 4), "hybrid", {**CONV, **costs(
             multiplications=3 * 48, functions=3, sums=2 * 48)}, inputs=SPIKES),
    Case("weight normalisation is a constant", lambda: Net(lambda x, fc: fc(x), fc=weight_norm(linear(6, 6))), (6,),
         inputs=SPIKES, counts=LAYER),
    Case("spectral normalisation is a constant", lambda: Net(lambda x, fc: fc(x),
         fc=nn.utils.parametrizations.spectral_norm(linear(6, 6))), (6,), inputs=SPIKES, counts=LAYER),
    Case("parameters times parameters are a constant", Computed, (6,), inputs=SPIKES,
         counts=costs(additions=30, dense_macs=30)),
    Case("low-rank factors are two layers", lambda: Net(lambda x, a, b: b(a(x)), a=linear(6, 2), b=linear(2, 5)),
         (6,), "hybrid", costs(additions=12, multiplications=10, dense_macs=22), inputs=SPIKES),
    Case("low-rank factors multiplied first are one", lambda: Net(lambda x, a, b: F.linear(x, b.weight @ a.weight),
         a=linear(6, 2), b=linear(2, 5)), (6,), inputs=SPIKES, counts=costs(additions=30, dense_macs=30)),
    Case("one layer twice", lambda: Net(lambda x, fc, n: fc(n(fc(x))), fc=linear(6, 6), n=Fire()), (6,),
         inputs=SPIKES, counts=together(LAYER, LAYER, neuron_cost(6))),
    Case("one layer twice, scaled once", lambda: Net(lambda x, fc, n: fc(n(fc(x) * 0.3)) + fc(x), fc=linear(6, 6),
         n=Fire()), (6,), inputs=SPIKES, counts=together(LAYER, LAYER, LAYER, costs(sums=6), neuron_cost(6))),
    Case("a leak of a half by hand", lambda: Net(lambda x, fc: hand_leak(x, fc, 0.5), fc=linear(6, 6)), (2, 6),
         inputs=SPIKES, counts=together(LAYER, LAYER, costs(shifts=6, compares=6, sums=12))),
    Case("a leak of three tenths by hand", lambda: Net(lambda x, fc: hand_leak(x, fc, 0.3), fc=linear(6, 6)),
         (2, 6), "hybrid", together(LAYER, LAYER, costs(multiplications=6, compares=6, sums=12)), inputs=SPIKES),
    Case("dropout leaves all", lambda: Net(lambda x, fc: F.dropout(fc(x), 0.3, False), fc=linear(6, 6)), (6,),
         inputs=SPIKES, counts=LAYER),
    Case("differences of frames", lambda: Net(lambda x, fc: fc(x[:, 1:] - x[:, :-1]), fc=linear(5, 4)), (6,),
         # what is subtracted from pixels is a pixel
         counts=costs(multiplications=20, dense_macs=20, sums=5), analog=("parts.fc",)),
    Case("pixels less their mean", lambda: Net(lambda x, c: c(x - x.mean((2, 3), keepdim=True)), c=conv(2, 3)),
         (2, 4, 4),
         # a sixteenth of a sum is a shift, and pixels less a mean of pixels are what the first layer meets
         counts=costs(multiplications=96, dense_macs=96, sums=2 * 15 + 32, shifts=2), analog=("parts.c",)),
    Case("spikes added with a factor", lambda: Net(lambda x, fc: torch.add(fc(x), x, alpha=0.3), fc=linear(6, 6)),
         (6,), inputs=SPIKES, counts=together(LAYER, costs(additions=6, sums=6))),
    Case("spikes added with a factor, on data", lambda: Net(lambda x, fc: torch.add(fc(x), x, alpha=0.3),
         fc=linear(6, 6)), (6,), inputs=SPIKES, data=torch.tensor([[1.0, 0, 0, 1, 1, 0]]),
         counts=costs(additions=3 * 6 + 3, dense_macs=36, sums=6)),
    Case("a membrane times one over a number", lambda: Net(lambda x, fc: forked(fc(x), lambda y: y / 4),
         fc=linear(6, 6)), (6,), inputs=SPIKES, counts={**LAYER, **costs(shifts=6, sums=6)}),
    Case("integers of two scales", lambda: Net(lambda x, a, b, fc: fc(a(x) + b(x)), a=Fire(ILIF(2, scale=0.3)),
         b=Fire(ILIF(2, scale=0.7)), fc=linear(6, 5)), (6,), "hybrid",
         # each adds its constant so many times; the sum is no integer any more
         costs(compares=24, additions=12 + 12, sums=6, multiplications=30, dense_macs=30)),
    Case("a negative scale of integers", lambda: Net(lambda x, fc: fc(-0.3 * x), fc=linear(6, 6)), (6,),
         inputs=FOUR, counts=costs(additions=4 * 36, dense_macs=36)),
    Case("a limit between integers", lambda: Net(lambda x, fc: fc(x.clamp(0, 1.5)), fc=linear(6, 5)), (6,), "hybrid",
         costs(compares=12, multiplications=30, dense_macs=30), inputs=FOUR),
    Case("membranes of one constant added", lambda: Net(lambda x, a, b, n: n((a(x).relu() + b(x).relu()) * 0.3),
         a=linear(6, 4), b=linear(6, 4), n=Fire()), (6,), inputs=SPIKES,
         counts=together(costs(additions=48, dense_macs=48, compares=8, sums=4), neuron_cost(4))),
    Case("membranes of two constants added", lambda: Net(lambda x, a, b, n: n(a(x).relu() * 0.3
         + b(x).relu() * 0.7), a=linear(6, 4), b=linear(6, 4), n=Fire()), (6,), "hybrid",
         together(costs(additions=48, dense_macs=48, compares=8, sums=4, multiplications=8), neuron_cost(4)),
         inputs=SPIKES),
]  # fmt: skip
