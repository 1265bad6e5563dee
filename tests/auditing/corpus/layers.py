"""Convolutions, poolings and what connects them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditing.nets import FOUR, SPIKES, Case, Fire, Net, bn, conv, costs, linear, neuron_cost, together
from spikedrive.neurons import ILIF
from spikedrive.ops.domain import Integer

SHAPE = (2, 4, 4)
# three taps reach 2 + 3 + 3 + 2 places of an axis of four from inside
REACH = 10 * 10


def residual(x: Tensor, n: nn.Module, c: nn.Module) -> Tensor:
    """SEW: spikes added to spikes, again and again."""
    for _ in range(4):
        x = x + n(x)
    return c(x)


def dense(x: Tensor, a: nn.Module, b: nn.Module, c: nn.Module) -> Tensor:
    """What came before, joined to what a layer makes of it."""
    x = torch.cat([x, a(x)], 1)
    return c(torch.cat([x, b(x)], 1))


def branches(
    x: Tensor, a: nn.Module, b: nn.Module, one: nn.Module, two: nn.Module, three: nn.Module
) -> Tensor:
    """RepVGG: two convolutions and the identity, each with its BatchNorm."""
    return one(a(x)) + two(b(x)) + three(x)


CASES = [
    Case("grouped and shuffled", lambda: Net(lambda x, a, n, b: b(n(a(x)).unflatten(1, (2, 3)).transpose(1, 2)
         .flatten(1, 2)), a=conv(4, 6, groups=2), n=Fire(), b=conv(6, 4, groups=2)), (4, 3, 3), inputs=SPIKES,
         counts=together(costs(additions=36 * 3 + 54 * 2, dense_macs=54 * 2 + 36 * 3), neuron_cost(54))),
    Case("depthwise and pointwise on spikes", lambda: Net(lambda x, d, p: p(d(x)), d=conv(2, 2, 3, padding=1,
         groups=2), p=conv(2, 3)), SHAPE, "hybrid",
         costs(additions=2 * REACH, dense_macs=32 * 9 + 48 * 2, multiplications=48 * 2), inputs=SPIKES),
    Case("depthwise, a neuron, pointwise", lambda: Net(lambda x, d, n, p: p(n(d(x))), d=conv(2, 2, 3, padding=1,
         groups=2), n=Fire(), p=conv(2, 3)), SHAPE, inputs=SPIKES,
         counts=together(costs(additions=2 * REACH + 32 * 3, dense_macs=32 * 9 + 96), neuron_cost(32))),
    Case("a depthwise constant a channel is a gain", lambda: Net(lambda x, d, n: n(d(x)), d=conv(2, 2, groups=2),
         n=Fire()), SHAPE, inputs=SPIKES, counts=together(costs(additions=32, dense_macs=32), neuron_cost(32))),
    Case("three branches join without fusing", lambda: Net(branches, a=conv(2, 2, 3, padding=1), b=conv(2, 2),
         one=bn(2), two=bn(2), three=bn(2)), SHAPE, inputs=SPIKES,
         # each BatchNorm is a bias where there is a convolution; the third is a constant that a spike adds, and a shift
         counts=costs(additions=2 * 2 * REACH + 64 + 32, dense_macs=32 * 18 + 64, sums=32 + 32 + 2 * 32 + 32)),
    Case("a strided transposed convolution", lambda: Net(lambda x, c: c(x), c=nn.ConvTranspose2d(2, 3, 2, stride=2,
         bias=False)), SHAPE, inputs=SPIKES,
         counts=costs(additions=32 * 3 * 4, dense_macs=32 * 3 * 4)),
    Case("conv3d on spikes", lambda: Net(lambda x, c: c(x), c=nn.Conv3d(1, 2, 2, bias=False)), (1, 3, 3, 3),
         # two taps reach 1 + 2 + 1 places of an axis of three
         inputs=SPIKES, counts=costs(additions=2 * 4**3, dense_macs=2 * 8 * 8)),
    Case("same padding", lambda: Net(lambda x, c: c(x), c=conv(2, 3, 3, padding="same")), SHAPE, inputs=SPIKES,
         counts=costs(additions=2 * 3 * REACH, dense_macs=48 * 18)),
    Case("padding that mirrors", lambda: Net(lambda x, c: c(F.pad(x, (1, 1, 1, 1), mode="reflect")), c=conv(2, 3, 3)),
         SHAPE, inputs=SPIKES,
         # the border is made of spikes too: 36 places, of which an axis of six is reached 1 + 2 + 3 + 3 + 2 + 1 times
         counts=costs(additions=2 * 3 * 12 * 12, dense_macs=48 * 18)),
    Case("padding with ones", lambda: Net(lambda x, c: c(F.pad(x, (1, 1), value=1.0)), c=nn.Conv1d(1, 2, 3,
         bias=False)), (1, 4), "hybrid",
         # the audit takes a border other than nought for a real number
         costs(multiplications=2 * 4 * 3, dense_macs=24), inputs=SPIKES),
    Case("patches by unfolding", lambda: Net(lambda x, fc: fc(F.unfold(x, 2, stride=2).transpose(1, 2)),
         fc=linear(8, 3)), SHAPE, inputs=SPIKES, counts=costs(additions=4 * 8 * 3, dense_macs=96)),
    Case("patches by reshaping", lambda: Net(lambda x, fc: fc(x.unflatten(3, (2, 2)).unflatten(2, (2, 2))
         .permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)), fc=linear(8, 3)), SHAPE, inputs=SPIKES,
         counts=costs(additions=4 * 8 * 3, dense_macs=96)),
    Case("pixels in other places", lambda: Net(lambda x, c: c(F.pixel_shuffle(x, 2)), c=conv(1, 2)), (4, 2, 2),
         inputs=SPIKES, counts=costs(additions=16 * 2, dense_macs=32)),
    Case("nearest neighbours", lambda: Net(lambda x, c: c(F.interpolate(x, scale_factor=2.0)), c=conv(2, 1)),
         (2, 2, 2), inputs=SPIKES, counts=costs(additions=32, dense_macs=32)),
    Case("bilinear interpolation of spikes", lambda: Net(lambda x: F.interpolate(x, scale_factor=2.0,
         mode="bilinear")), (1, 2, 2), inputs=SPIKES,
         # along an axis four places read 1 + 2 + 2 + 1 of two
         counts=costs(additions=6 * 6)),
    Case("a max-pool of spikes meets weights", lambda: Net(lambda x, c: c(F.max_pool2d(x, 2)), c=conv(2, 3)), SHAPE,
         inputs=SPIKES, counts=costs(compares=8 * 3, additions=8 * 3, dense_macs=24)),
    Case("a max-pool of membranes before a neuron", lambda: Net(lambda x, c, n: n(F.max_pool2d(c(x), 2)),
         c=conv(2, 3), n=Fire()), SHAPE, inputs=SPIKES,
         counts=together(costs(additions=96, dense_macs=96, compares=12 * 3), neuron_cost(12))),
    Case("an average pool of spikes before a convolution", lambda: Net(lambda x, c: c(F.avg_pool2d(x, 2)),
         c=conv(2, 3)), SHAPE, inputs=SPIKES,
         # each spike joins one sum, each sum of up to four meets three weights
         counts=costs(additions=32 + 4 * 8 * 3, dense_macs=24)),
    Case("an average pool of nine before a sum", lambda: Net(lambda x, c: c(x) + F.avg_pool2d(c(x), 3, 1, 1),
         c=conv(2, 1)), SHAPE, inputs=SPIKES,
         # the layer runs twice; the ninth folds into its second run, and a sum of nine is eight
         counts=costs(additions=64, dense_macs=64, sums=8 * 16 + 16)),
    Case("an adaptive average of uneven windows", lambda: Net(lambda x, n: n(F.adaptive_avg_pool2d(x, (3, 3))),
         n=Fire()), (1, 4, 4), inputs=SPIKES,
         # along an axis the windows read 2 + 2 + 2 of four places
         counts=together(costs(additions=6 * 6), neuron_cost(9))),
    Case("an average of integers that a power of two divides", lambda: Net(lambda x, n, c: c(n(x)
         + F.avg_pool2d(n(x), 2).repeat_interleave(2, 2).repeat_interleave(2, 3)), n=Fire(ILIF(4)), c=conv(2, 3)),
         SHAPE, inputs=SPIKES,
         # quarters: one operand is shifted, and their sum reaches 4 (4 + 4)
         counts=costs(compares=2 * 4 * 32, additions=4 * 32 + 32 * 32 * 3, shifts=32, sums=32, dense_macs=96)),
    Case("global average into a readout", lambda: Net(lambda x, fc: fc(x.mean((2, 3))), fc=linear(2, 5)), SHAPE,
         inputs=FOUR, counts=costs(additions=4 * 32 + 64 * 2 * 5, dense_macs=10)),
    Case("Lp pooling", lambda: Net(lambda x: F.lp_pool1d(x, 1.0, 2)), (2, 4), inputs=SPIKES,
         # a sum; its sign (two comparisons) selects its size (one) where that is positive (one)
         counts=costs(additions=8, compares=(2 + 1 + 1) * 4, ands=4)),
    Case("a residual stream of spikes", lambda: Net(residual, n=Fire(), c=conv(2, 3)), SHAPE, inputs=SPIKES,
         # after four blocks a sum reaches five
         counts=together(costs(sums=4 * 32, additions=5 * 32 * 3, dense_macs=96), neuron_cost(4 * 32))),
    Case("a residual stream of three levels", lambda: Net(residual, n=Fire(ILIF(3)), c=conv(2, 3)), SHAPE,
         inputs=(Integer(3),),
         counts=costs(compares=4 * 3 * 32, sums=4 * 32, additions=15 * 32 * 3, dense_macs=96)),
    Case("densely joined spikes", lambda: Net(dense, a=Fire(), b=Fire(), c=conv(8, 1)), SHAPE, inputs=SPIKES,
         counts=together(costs(additions=128, dense_macs=128), neuron_cost(32 + 64))),
    Case("joined integers and spikes", lambda: Net(lambda x, n, c: c(torch.cat([x, n(x)], 1)), n=Fire(ILIF(3)),
         c=conv(4, 1)), SHAPE, inputs=SPIKES,
         # the worst case takes three for each of them
         counts=costs(compares=3 * 32, additions=3 * 64, dense_macs=64)),
    Case("joined spikes and membranes", lambda: Net(lambda x, a, c: c(torch.cat([x, a(x)], 1)), a=conv(2, 2),
         c=conv(4, 1)), SHAPE, "hybrid", costs(additions=64, multiplications=64, dense_macs=64 + 64), inputs=SPIKES),
    Case("a membrane shortcut around a neuron", lambda: Net(lambda x, a, n, b: a(x) + b(n(a(x))), a=conv(2, 2),
         n=Fire(), b=conv(2, 2)), SHAPE, inputs=SPIKES,
         counts=together(costs(additions=3 * 64, dense_macs=3 * 64, sums=32), neuron_cost(32))),
    Case("pixels joined to a membrane", lambda: Net(lambda x, a: x + a(x), a=conv(2, 2)), SHAPE,
         counts=costs(multiplications=64, dense_macs=64, sums=32), analog=("parts.a",)),
    Case("two first layers", lambda: Net(lambda x, a, b, n: n(a(x) + b(x)), a=conv(2, 2), b=conv(2, 2), n=Fire()),
         SHAPE, counts=together(costs(multiplications=128, dense_macs=128, sums=32), neuron_cost(32)),
         analog=("parts.a", "parts.b")),
    Case("local response normalisation", lambda: Net(lambda x: F.local_response_norm(x, 2)), (4, 1), "hybrid",
         # (1 + a mean of two squares)^0.75: the fourth of alpha / 2 folds nowhere, one power and one division each
         costs(multiplications=4 + 4 + 4, functions=4, sums=4 + 4)),
    Case("instance normalisation", lambda: Net(lambda x, n: n(x), n=nn.InstanceNorm2d(2)), SHAPE, "hybrid",
         costs(multiplications=3 * 32 + 2, functions=2, sums=3 * 32)),
    Case("group normalisation", lambda: Net(lambda x, n: n(x), n=nn.GroupNorm(2, 4)), (4, 3, 3), "hybrid",
         costs(multiplications=3 * 36 + 2, functions=2, sums=3 * 36)),
]  # fmt: skip
