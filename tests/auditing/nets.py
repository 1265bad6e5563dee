"""Small networks whose cost a hand calculation gives: the corpus of the audit's tests.

Each entry is (name, network, one input, expected). `expected` holds the verdict and per-sample counts of
the worst case, written as the calculation that gives them; a count that it does not name must be zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks import MLP, MembraneShortcut, RepConv, SepConv, SpikeAttention
from spikedrive.encoders import Direct
from spikedrive.neurons import IF, ILIF, LIF, NILIF, PLIF
from spikedrive.ops.domain import Binary, Domain, Integer


class Fire(nn.Module):
    """One step of a neuron on (B, ...)."""

    def __init__(self, neuron: nn.Module | None = None) -> None:
        super().__init__()
        self.neuron = neuron or IF()

    def forward(self, x: Tensor) -> Tensor:
        return self.neuron(x.unsqueeze(0)).squeeze(0)


class Net(nn.Module):
    """A function of its parts and the input."""

    def __init__(self, function: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x, **self.parts)


@dataclass(frozen=True, eq=False)
class Case:
    """One network of the corpus."""

    name: str
    net: Callable[[], nn.Module]
    shape: tuple[int, ...]
    verdict: str = "additive"
    counts: dict[str, float] = field(default_factory=dict)
    analog: tuple[str, ...] = ()
    inputs: tuple[Domain, ...] = ()
    batch_axis: int = 0
    data: Tensor | None = None
    """Inputs on which the counts hold; the worst case without."""


SPIKES = (Binary(),)
FOUR = (Integer(4),)


def sharpened(bn: nn.Module) -> nn.Module:
    """BatchNorm with gains that are no powers of two, some of them negative."""
    for i, parameter in enumerate(bn.parameters()):
        nn.init.uniform_(parameter, -0.9 + i, 1.3)
    nn.init.uniform_(bn.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    nn.init.uniform_(bn.running_mean, -0.5, 0.5)  # type: ignore[arg-type]
    return bn


def bn(channels: int) -> nn.Module:
    return sharpened(nn.BatchNorm2d(channels))


def conv(a: int, b: int, k: int = 1, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(a, b, k, bias=False, **options)


def linear(a: int, b: int, bias: bool = False) -> nn.Linear:
    return nn.Linear(a, b, bias=bias)


def ternary(layer: nn.Linear, size: float) -> nn.Linear:
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.0, -1.0], [1.0, 1.0, 0.0]]) * size)
    return layer


def scale(x: Tensor, *shape: int) -> Tensor:
    return x * (0.3 + 0.1 * torch.arange(1.0, 1 + torch.Size(shape).numel()).reshape(shape))


def costs(**counts: float) -> dict[str, float]:
    """Counts by name."""
    return counts


def neuron_cost(elements: int, steps: int = 1, *, leak: bool = False) -> dict[str, float]:
    """What spiking neurons of one comparison cost."""
    n = elements * steps
    return {"membrane_updates": n, "compares": n, "shifts": n if leak else 0}


def together(*counts: dict[str, float]) -> dict[str, float]:
    """The sum of counts by name."""
    keys = {key for count in counts for key in count}
    return {key: sum(count.get(key, 0) for count in counts) for key in keys}


CASES = [
    Case("linear on spikes", lambda: Net(lambda x, fc: fc(x), fc=linear(6, 5)), (6,), inputs=SPIKES,
         counts={"additions": 6 * 5, "dense_macs": 6 * 5}),
    Case("linear on integers with a bias", lambda: Net(lambda x, fc: fc(x), fc=linear(6, 5, True)), (6,),
         inputs=FOUR,
         counts={"additions": 4 * 6 * 5, "dense_macs": 6 * 5, "sums": 5}),
    Case("linear on pixels", lambda: Net(lambda x, fc: fc(x), fc=linear(6, 5)), (6,), analog=("parts.fc",),
         counts={"multiplications": 6 * 5, "dense_macs": 6 * 5}),
    Case("two linear layers in a row", lambda: Net(lambda x, a, b: b(a(x)), a=linear(6, 5), b=linear(5, 4)),
         (6,),
         "hybrid", {"multiplications": 6 * 5 + 5 * 4, "dense_macs": 6 * 5 + 5 * 4}, analog=("parts.a",)),
    # three taps, one of them beside the border: an axis of 4 is reached 2 + 3 + 3 + 2 times
    Case("padded convolution on spikes", lambda: Net(lambda x, c: c(x), c=conv(2, 3, 3, padding=1)), (2, 4, 4),
         inputs=SPIKES, counts={"additions": 2 * 3 * 10 * 10, "dense_macs": 3 * 16 * 2 * 9}),
    Case("strided convolution on spikes", lambda: Net(lambda x, c: c(x), c=conv(1, 2, 3, stride=2)), (1, 5, 5),
         inputs=SPIKES, counts={"additions": 2 * (1 + 1 + 2 + 1 + 1) ** 2, "dense_macs": 2 * 4 * 9}),
    Case("dilated convolution on spikes", lambda: Net(lambda x, c: c(x), c=conv(1, 1, 3, dilation=2)), (1, 6, 6),
         inputs=SPIKES, counts={"additions": 4 * 9, "dense_macs": 4 * 9}),
    Case("grouped convolution on spikes", lambda: Net(lambda x, c: c(x), c=conv(4, 6, 1, groups=2)), (4, 3, 3),
         inputs=SPIKES, counts={"additions": 4 * 9 * 3, "dense_macs": 6 * 9 * 2}),
    Case("depthwise convolution on integers", lambda: Net(lambda x, c: c(x), c=conv(3, 3, 3, groups=3)), (3,
         4, 4),
         inputs=FOUR, counts={"additions": 4 * 3 * 4 * 9, "dense_macs": 3 * 4 * 9}),
    Case("conv1d on spikes", lambda: Net(lambda x, c: c(x), c=nn.Conv1d(2, 3, 3, bias=False)), (2, 5),
         inputs=SPIKES,
         counts={"additions": 2 * 3 * 9, "dense_macs": 3 * 3 * 2 * 3}),
    Case("a constant matrix from the left", lambda: Net(lambda x: torch.eye(3).mul(0.3) @ x), (3, 4),
         inputs=SPIKES,
         counts={"additions": 12 * 3, "dense_macs": 12 * 3}),
    Case("ternary weights on pixels", lambda: Net(lambda x, fc: fc(x), fc=ternary(linear(3, 2), 1.0)), (3,),
         counts={"additions": 4, "dense_macs": 6}),
    Case("ternary weights with a scale, then a neuron",
         lambda: Net(lambda x, fc, n: n(fc(x)), fc=ternary(linear(3, 2), 0.3), n=Fire()), (3,),
         counts=together({"additions": 4, "dense_macs": 6}, neuron_cost(2))),
    Case("embedding", lambda: Net(lambda x, e, fc: fc(e(x.long())), e=nn.Embedding(5, 4), fc=linear(4, 3)), (2,),
         "hybrid", {"lookups": 8, "multiplications": 24, "dense_macs": 24}, inputs=FOUR),
    Case("SEW sum into a linear layer",
         lambda: Net(lambda x, a, b, fc: fc(a(x) + b(x)), a=Fire(), b=Fire(IF(2.0)), fc=linear(6, 5)), (6,),
         counts=together({"additions": 2 * 6 * 5, "dense_macs": 30, "sums": 6}, neuron_cost(12))),
    Case("SEW sums that reach 5", lambda: Net(lambda x, fc: fc(x + x + x + x + x), fc=linear(6, 5)), (6,),
         inputs=SPIKES, counts={"additions": 5 * 6 * 5, "dense_macs": 30, "sums": 4 * 6}),
    Case("SEW gate (1 - x) branch", lambda: Net(lambda x, n, fc: fc((1 - x) * n(fc(x))), n=Fire(),
         fc=linear(6, 6)),
         (6,), inputs=SPIKES, counts=together({"additions": 72, "dense_macs": 72, "ands": 6}, neuron_cost(6))),
    Case("signs are ternary", lambda: Net(lambda x, fc: fc(torch.sign(x)), fc=linear(6, 5)), (6,),
         counts={"additions": 30, "dense_macs": 30, "compares": 12}),
    Case("a comparison written by hand", lambda: Net(lambda x, fc: fc((x > 0.5).float()), fc=linear(6, 5)), (6,),
         counts={"additions": 30, "dense_macs": 30, "compares": 6}),
    Case("rounding written by hand", lambda: Net(lambda x, fc: fc(x.clamp(0, 3).round()), fc=linear(6, 5)), (6,),
         counts={"additions": 3 * 30, "dense_macs": 30, "compares": 2 * 6 + 3 * 6}),
    Case("max-pooled integers", lambda: Net(lambda x, c: c(F.max_pool2d(x, 2)), c=conv(1, 2)), (1, 4, 4),
         inputs=FOUR,
         counts={"additions": 4 * 4 * 2, "dense_macs": 8, "compares": 4 * 3}),
    Case("average-pooled integers into a convolution", lambda: Net(lambda x, c: c(F.avg_pool2d(x, 2)),
         c=conv(1, 2)),
         (1, 4, 4), inputs=FOUR, counts={"additions": 4 * 16 + 16 * 4 * 2, "dense_macs": 8}),
    Case("overlapping average pool before a neuron", lambda: Net(lambda x, n: n(F.avg_pool2d(x, 3, 1, 1)),
         n=Fire()),
         (1, 4, 4), inputs=SPIKES, counts=together({"additions": 10 * 10}, neuron_cost(16))),
    Case("mean over tokens of integers into a linear layer", lambda: Net(lambda x, fc: fc(x.mean(1)),
         fc=linear(6, 5)),
         (7, 6), inputs=SPIKES, counts={"additions": 7 * 6 + 7 * 6 * 5, "dense_macs": 30}),
    Case("pixels in steps of one", lambda: Net(lambda x, n: n(x), n=Fire(ILIF())), (6,),
         counts={"compares": 4 * 6}),
    Case("normalised integer neuron", lambda: Net(lambda x, n: n(x), n=Fire(NILIF())), (6,),
         counts={"compares": 16 * 6, "membrane_updates": 24, "shifts": 24}),
    Case("integers with a real scale", lambda: Net(lambda x, n, fc: fc(n(x)), n=Fire(ILIF(scale=1 / 3)),
         fc=linear(6, 5)),
         (6,), counts={"additions": 120, "dense_macs": 30, "compares": 24}),
    Case("scaled spikes join a membrane", lambda: Net(lambda x, fc: fc(x) + 0.3 * x, fc=linear(6, 6)), (6,),
         inputs=SPIKES,
         counts={"additions": 36 + 6, "dense_macs": 36, "sums": 6}),
    Case("integers of two scales a power of two apart",
         lambda: Net(lambda x, a, b, fc: fc(a(x) + b(x)), a=Fire(ILIF(2, scale=0.25)), b=Fire(ILIF(2)),
         fc=linear(6, 5)),
         (6,), counts={"additions": (2 + 8) * 30, "dense_macs": 30, "sums": 6, "shifts": 6, "compares": 24}),
    Case("BatchNorm folds into the convolution", lambda: Net(lambda x, c, b: b(c(x)), c=conv(2, 3), b=bn(3)),
         (2, 4, 4),
         inputs=SPIKES, counts={"additions": 96, "dense_macs": 96, "sums": 48}),
    Case("two BatchNorms and a channel's gain fold",
         lambda: Net(lambda x, c, a, b: scale(b(a(c(x))), 3, 1, 1), c=conv(2, 3), a=bn(3), b=bn(3)), (2, 4, 4),
         inputs=SPIKES, counts={"additions": 96, "dense_macs": 96, "sums": 48}),
    Case("BatchNorm of two branches folds into both",
         lambda: Net(lambda x, c, d, b: b(c(x) + d(x)), c=conv(2, 3), d=conv(2, 3), b=bn(3)), (2, 4, 4),
         inputs=SPIKES,
         counts={"additions": 192, "dense_macs": 192, "sums": 48 + 2 * 48}),
    Case("BatchNorm of joined channels folds into both",
         lambda: Net(lambda x, c, d, b: b(torch.cat([c(x), d(x)], 1)), c=conv(2, 3), d=conv(2, 1), b=bn(4)),
         (2, 4, 4),
         inputs=SPIKES, counts={"additions": 128, "dense_macs": 128, "sums": 64}),
    Case("BatchNorm of one of two readers, then a sum",
         lambda: Net(lambda x, c, b: _twice(c(x), b), c=conv(2, 3), b=bn(3)), (2, 4, 4), "hybrid",
         {"additions": 96, "dense_macs": 96, "multiplications": 48, "sums": 48 + 48}, inputs=SPIKES),
    Case("BatchNorm of a membrane before a neuron", lambda: Net(lambda x, c, b, n: c(x) + n(b(c(x))),
         c=conv(2, 3),
         b=bn(3), n=Fire(ILIF())), (2, 4, 4), inputs=SPIKES,
         counts={"additions": 192, "dense_macs": 192, "sums": 48 + 48, "compares": 4 * 48}),
    Case("BatchNorm after a max-pool, before a neuron",
         lambda: Net(lambda x, c, b, n: n(b(F.max_pool2d(c(x), 2))), c=conv(2, 3), b=bn(3), n=Fire(ILIF())),
         (2, 4, 4),
         inputs=SPIKES, counts={"additions": 96, "dense_macs": 96, "compares": 12 * 3 + 12 * 4}),
    Case("BatchNorm after a max-pool, before a sum",
         lambda: Net(lambda x, c, b: _plus_first(b(F.max_pool2d(c(x), 2))), c=conv(2, 3), b=bn(3)), (2, 4,
         4), "hybrid",
         {"additions": 96, "dense_macs": 96, "compares": 36, "multiplications": 12, "sums": 12 + 12},
         inputs=SPIKES),
    Case("halving a membrane is a shift", lambda: Net(lambda x, fc: _plus(x, fc, lambda y: y / 2),
         fc=linear(6, 6)), (6,),
         inputs=SPIKES, counts={"additions": 72, "dense_macs": 72, "shifts": 6, "sums": 6 + 6, "compares": 6}),
    Case("a third of a membrane is a multiplication",
         lambda: Net(lambda x, fc: _plus(x, fc, lambda y: y / 3), fc=linear(6, 6)), (6,), "hybrid",
         {"additions": 72, "dense_macs": 72, "multiplications": 6, "sums": 6 + 6, "compares": 6}, inputs=SPIKES),
    Case("halving after a convolution folds", lambda: Net(lambda x, fc: fc(x) / 3, fc=linear(6, 5)), (6,),
         inputs=SPIKES,
         counts={"additions": 30, "dense_macs": 30}),
    Case("mean before a neuron", lambda: Net(lambda x, c, n: n(c(x).relu().mean((2, 3))), c=conv(2, 3),
         n=Fire(ILIF())),
         (2, 4, 4), inputs=SPIKES,
         counts={"additions": 96, "dense_macs": 96, "compares": 48 + 12, "sums": 3 * 15}),
    Case("average pool of a membrane before a neuron",
         lambda: Net(lambda x, c, n: n(F.avg_pool2d(c(x).relu(), 2)), c=conv(2, 3), n=Fire(ILIF())), (2, 4, 4),
         inputs=SPIKES, counts={"additions": 96, "dense_macs": 96, "compares": 48 + 48, "sums": 12 * 3}),
    Case("one constant a position before a convolution",
         lambda: Net(lambda x, c: c(scale(x, 4, 4)), c=conv(1, 2, 2)), (1, 4, 4), "hybrid",
         {"additions": 16, "multiplications": 2 * 9 * 4, "dense_macs": 72}, inputs=SPIKES),
    Case("a fixed mask on spikes leaves spikes", lambda: Net(lambda x, c: c(x * torch.eye(4)), c=conv(1, 2, 3)),
         (1, 4, 4), inputs=SPIKES, counts={"additions": 2 * 6 * 6, "dense_macs": 72}),
    Case("powers of two a position leave integers",
         lambda: Net(lambda x, c: c(x * torch.tensor([1.0, 0.5, -2.0, 1.0])), c=conv(1, 2, 3)), (1, 4, 4),
         inputs=SPIKES, counts={"additions": 4 * 2 * 6 * 6, "dense_macs": 72, "shifts": 16}),
    Case("a readout's constant decides nothing", lambda: Net(lambda x, n: n(x).mean(0), n=IF()), (3, 4),
         counts=together({"additions": 12}, neuron_cost(4, 3)), batch_axis=1),
    Case("normalisation folds into the analog layer",
         lambda: Net(lambda x, c: c((x - 0.4) / 0.3), c=conv(2, 3, 3, padding=1)), (2, 4, 4), analog=("parts.c",),
         counts={"multiplications": 3 * 16 * 18, "dense_macs": 3 * 16 * 18, "sums": 32}),
    Case("a real number squared", lambda: Net(lambda x: x * x), (6,), "hybrid", {"multiplications": 6}),
    Case("a spike squared is AND", lambda: Net(lambda x: x * x), (6,), inputs=SPIKES, counts={"ands": 6}),
    Case("a power is repeated products", lambda: Net(lambda x: x**3), (6,), "hybrid", {"multiplications": 12}),
    Case("a spike selects a membrane", lambda: Net(lambda x, fc, n: fc(x) * n(x), fc=linear(6, 6), n=Fire()),
         (6,),
         inputs=SPIKES, counts=together({"additions": 36, "dense_macs": 36, "ands": 6}, neuron_cost(6))),
    Case("an integer times a membrane", lambda: Net(lambda x, fc, n: fc(x) * n(fc(x)), fc=linear(6, 6),
         n=Fire(ILIF(3))),
         (6,), inputs=SPIKES, counts={"additions": 72 + 3 * 6, "dense_macs": 72, "compares": 18}),
    Case("a sigmoid gate", lambda: Net(lambda x, fc: fc(x) * torch.sigmoid(fc(x)), fc=linear(6, 6)), (6,),
         "hybrid",
         {"additions": 72, "dense_macs": 72, "multiplications": 6 + 6, "functions": 6, "sums": 6}, inputs=SPIKES),
    Case("squeeze and excite",
         lambda: Net(lambda x, c, a: c(x) * torch.sigmoid(a(c(x).mean((2, 3), keepdim=True))), c=conv(2, 3),
         a=conv(3, 3)),
         (2, 4, 4), "hybrid", inputs=SPIKES,
         counts={"additions": 192, "dense_macs": 192 + 9, "sums": 45 + 3, "multiplications": 9 + 3 + 48,
         "functions": 3}),
    Case("sums of integers times sums of integers", lambda: Net(lambda x: x.sum(1) * x.sum(2)), (5, 5),
         "gated-additive",
         {"additions": 50, "multiplications": 5}, inputs=SPIKES),
    Case("a spike times a sum of integers", lambda: Net(lambda x: x * x.sum(1, keepdim=True)), (5, 5),
         inputs=SPIKES,
         counts={"additions": 25, "ands": 25}),
    Case("spikes times spikes, as matrices", lambda: Net(lambda x: x @ x.transpose(1, 2)), (5, 6), inputs=SPIKES,
         counts={"additions": 5 * 6 * 5, "dense_macs": 150}),
    Case("integers times integers, as matrices", lambda: Net(lambda x: x @ x.transpose(1, 2)), (5, 6), inputs=FOUR,
         counts={"additions": 4 * 150, "dense_macs": 150}),
    Case("products of integers meet a weight", lambda: Net(lambda x, fc: fc(x @ x.transpose(1, 2)),
         fc=linear(5, 2)),
         (5, 6), "hybrid", {"additions": 600, "multiplications": 50, "dense_macs": 150 + 50}, inputs=FOUR),
    Case("coincidences of spikes meet a weight", lambda: Net(lambda x, fc: fc(x @ x.transpose(1, 2)),
         fc=linear(5, 2)),
         (5, 6), inputs=SPIKES, counts={"additions": 150 + 6 * 50, "dense_macs": 200}),
    Case("a mask chooses", lambda: Net(lambda x, fc: torch.where(x > 0, fc(x), 0.0), fc=linear(6, 6)), (6,),
         inputs=SPIKES, counts={"additions": 36, "dense_macs": 36, "compares": 6, "ands": 6}),
    Case("a convolution of pixels and LIF, four steps",
         lambda: Net(lambda x, e, c, n: n(c(e(x).flatten(0, 1)).unflatten(0, (4, -1))), e=Direct(4), c=conv(3,
         2, 3), n=LIF()),
         (3, 5, 5), analog=("parts.c",), counts=together(
             {"multiplications": 4 * 2 * 9 * 27, "dense_macs": 2 * 9 * 27}, neuron_cost(18, 4, leak=True))),
    Case("a leak of three quarters", lambda: Net(lambda x, n: n(x), n=LIF(0.75)), (3, 4), batch_axis=1,
         counts=neuron_cost(4, 3, leak=True)),
    Case("a leak of six tenths", lambda: Net(lambda x, n: n(x), n=LIF(0.6)), (3, 4), "hybrid",
         together({"multiplications": 12}, neuron_cost(4, 3)), batch_axis=1),
    Case("a learned leak at its start", lambda: Net(lambda x, n: n(x), n=PLIF(2.0)), (3, 4), batch_axis=1,
         counts=neuron_cost(4, 3, leak=True)),
    Case("a learned leak elsewhere", lambda: Net(lambda x, n: n(x), n=PLIF(3.0)), (3, 4), "hybrid",
         together({"multiplications": 12}, neuron_cost(4, 3)), batch_axis=1),
    Case("no leak", lambda: Net(lambda x, n: n(x), n=IF()), (3, 4), counts=neuron_cost(4, 3), batch_axis=1),
    Case("carried integers", lambda: Net(lambda x, n: n(x), n=ILIF(carry=True)), (3, 4), batch_axis=1,
         counts={"membrane_updates": 12, "compares": 48, "shifts": 12}),
    Case("softmax", lambda: Net(lambda x: x.softmax(-1)), (6,), "hybrid",
         {"multiplications": 6, "functions": 6, "sums": 12}),
    Case("layer norm", lambda: Net(lambda x, n: n(x), n=nn.LayerNorm(6)), (2, 6), "hybrid",
         {"multiplications": 3 * 12 + 2, "functions": 2, "sums": 36}),
    Case("gelu", lambda: Net(F.gelu), (6,), "hybrid", {"multiplications": 12, "functions": 6, "sums": 6}),
    Case("silu", lambda: Net(F.silu), (6,), "hybrid", {"multiplications": 12, "functions": 6, "sums": 6}),
    Case("relu", lambda: Net(lambda x, a, b: b(a(x).relu_()), a=linear(6, 5), b=linear(5, 4)), (6,), "hybrid",
         {"multiplications": 50, "dense_macs": 50, "compares": 5}, analog=("parts.a",)),
    Case("a product through logarithms", lambda: Net(lambda x: torch.exp(torch.log(x) + torch.log(x))), (6,),
         "hybrid",
         {"functions": 18, "sums": 6}),
    Case("division of two values", lambda: Net(lambda x: x / (x + 1)), (6,), "hybrid",
         {"multiplications": 6, "sums": 6}),
    Case("softmax attention", lambda: Net(lambda x: F.scaled_dot_product_attention(x, x, x)), (5, 4), "hybrid",
         {"multiplications": 25 * (4 + 4 + 2), "functions": 25, "dense_macs": 200}),
    Case("a product in another spelling", lambda: Net(lambda x: torch.einsum("bij,bkj->bik", x, x)), (3, 4),
         "hybrid",
         {"multiplications": 36, "dense_macs": 36}),
    Case("RepConv as trained", lambda: Net(lambda x, r: r(x), r=RepConv(2, 3)), (2, 4, 4), "hybrid", inputs=SPIKES,
         counts={"additions": 64, "multiplications": 2 * 16 * 9 + 6 * 16, "dense_macs": 64 + 288 + 96,
                 "sums": 32}),
    Case("RepConv fused", lambda: RepConv(2, 3).eval().fused(dense_separable=False), (2, 4, 4), inputs=SPIKES,
         counts={"additions": 2 * 3 * 100, "dense_macs": 6 * 16 * 9, "sums": 48}),
    Case("separable convolution as released", lambda: Net(lambda x, s: s(x), s=SepConv(2, kernel_size=3)), (1,
         2, 4, 4),
         "hybrid", batch_axis=1, counts=together(
             {"additions": 2 * 4 * 16 + 4 * 100, "multiplications": 4 * 2 * 16, "dense_macs": 128 + 576 + 128},
             neuron_cost(32, leak=True), neuron_cost(64, leak=True))),
    Case("separable convolution with a neuron inside",
         lambda: Net(lambda x, s: s(x), s=SepConv(2, kernel_size=3, spiking=True)), (1, 2, 4, 4), batch_axis=1,
         counts=together({"additions": 128 + 400 + 128, "dense_macs": 128 + 576 + 128},
                         neuron_cost(32, leak=True), neuron_cost(64, leak=True), neuron_cost(64, leak=True))),
    Case("MLP with a membrane shortcut",
         lambda: Net(lambda x, m, s: s(x, m(x)), m=MLP(2, 2, bias=False), s=MembraneShortcut()), (1, 2, 3, 3),
         batch_axis=1, counts=together({"additions": 72 + 72, "dense_macs": 144, "sums": 18},
                                       neuron_cost(18, leak=True), neuron_cost(36, leak=True))),
    # C = 4, L = 9: k AND v, the sum over 9 tokens, q AND its spike
    Case("SDSA-1", lambda: Net(lambda x, a: a(x), a=SpikeAttention(
        4, 2, variant="sdsa1", projection=conv)), (1, 4, 3, 3), batch_axis=1, counts=together(
            {"additions": 4 * 4 * 4 * 9 + 36, "dense_macs": 4 * 144, "ands": 36 + 36},
            *[neuron_cost(36, leak=True)] * 4, neuron_cost(4, leak=True))),
    # two heads of D = 2 over L = 9: v k^T is 2 * 2 * 2 * 9 pairs, times q the same
    Case("SDSA-3", lambda: Net(lambda x, a: a(x), a=SpikeAttention(
        4, 2, variant="sdsa3", projection=conv, scale=0.125)), (1, 4, 3, 3), batch_axis=1, counts=together(
            {"additions": 4 * 4 * 4 * 9 + 72 + 72, "dense_macs": 4 * 144 + 144}, *[neuron_cost(36,
         leak=True)] * 5)),
]  # fmt: skip


def _twice(y: Tensor, bn: nn.Module) -> Tensor:
    return y + bn(y)


def _plus_first(y: Tensor) -> Tensor:
    return y + y[..., :1, :1]


def _plus(x: Tensor, fc: nn.Module, change: Callable[[Tensor], Tensor]) -> Tensor:
    """A changed running sum and a new input: a leaky neuron written by hand."""
    first = fc(x)
    return change(first.relu() + first) + fc(x)
