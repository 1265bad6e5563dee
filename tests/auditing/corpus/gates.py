"""Gates: one value that decides how much of another passes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditing.nets import FOUR, SPIKES, Case, Fire, Net, conv, costs, linear, neuron_cost, together
from spikedrive.neurons import ILIF

LAYER = costs(additions=6 * 6, dense_macs=6 * 6)


def excited(x: Tensor, c: nn.Module, a: nn.Module, gate: nn.Module) -> Tensor:
    """Channels weighted by what the mean of each says."""
    y = c(x)
    return y * gate(a(y.mean((2, 3), keepdim=True)))


def highway(x: Tensor, fc: nn.Module, t: nn.Module) -> Tensor:
    """t h + (1 - t) x."""
    gate = torch.sigmoid(t(x))
    return gate * fc(x) + (1 - gate) * x


def experts(x: Tensor, a: nn.Module, b: nn.Module, router: nn.Module) -> Tensor:
    """The expert whose score is larger, both computed."""
    scores = router(x)
    return torch.where(scores[:, :1] > scores[:, 1:], a(x), b(x))


CASES = [
    Case("GLU", lambda: Net(lambda x, fc: F.glu(fc(x)), fc=linear(6, 6)), (6,), "hybrid",
         # three halves of sigmoids, each a function and a division, times three values
         {**LAYER, **costs(multiplications=3 + 3, functions=3, sums=3)}, inputs=SPIKES),
    Case("bilinear GLU", lambda: Net(lambda x, a, b: a(x) * b(x), a=linear(6, 4), b=linear(6, 4)), (6,), "hybrid",
         costs(additions=2 * 24, dense_macs=2 * 24, multiplications=4), inputs=SPIKES),
    Case("SwiGLU", lambda: Net(lambda x, a, b: F.silu(a(x)) * b(x), a=linear(6, 4), b=linear(6, 4)), (6,), "hybrid",
         # a SiLU is a function, a division and a product
         costs(additions=48, dense_macs=48, multiplications=2 * 4 + 4, functions=4, sums=4), inputs=SPIKES),
    Case("a spike as the gate", lambda: Net(lambda x, a, b, n: a(x) * n(b(x)), a=linear(6, 4), b=linear(6, 4),
         n=Fire()), (6,), inputs=SPIKES,
         counts=together(costs(additions=48, dense_macs=48, ands=4), neuron_cost(4))),
    Case("a hard sigmoid as the gate", lambda: Net(lambda x, fc: x * F.hardsigmoid(fc(x)), fc=linear(6, 6)), (6,),
         "hybrid", {**LAYER, **costs(multiplications=6, sums=6, ands=6)}, inputs=SPIKES),
    Case("a clamped gate", lambda: Net(lambda x, a, b: a(x) * b(x).clamp(0, 1), a=linear(6, 4), b=linear(6, 4)),
         (6,), "hybrid", costs(additions=48, dense_macs=48, compares=2 * 4, multiplications=4), inputs=SPIKES),
    Case("a rounded gate", lambda: Net(lambda x, a, b: a(x) * b(x).clamp(0, 1).round(), a=linear(6, 4),
         b=linear(6, 4)), (6,), inputs=SPIKES,
         # between 0 and 1 there is one threshold
         counts=costs(additions=48, dense_macs=48, compares=2 * 4 + 4, ands=4)),
    Case("a highway", lambda: Net(highway, fc=linear(6, 6), t=linear(6, 6)), (6,), "hybrid",
         # sigmoids, then gate times membrane; a spike selects what is left of the gate
         costs(additions=2 * 36, dense_macs=2 * 36, multiplications=6 + 6, functions=6, sums=6 + 6 + 6, ands=6),
         inputs=SPIKES),
    Case("squeeze and excite by spikes", lambda: Net(excited, c=conv(2, 3), a=conv(3, 3), gate=Fire()), (2, 4, 4),
         "hybrid",
         # the scale of the mean folds into the second convolution, whose products with real means remain
         together(costs(additions=96, dense_macs=96 + 9, sums=3 * 15, multiplications=9, ands=48), neuron_cost(3)),
         inputs=SPIKES),
    Case("squeeze and excite of spikes by spikes", lambda: Net(excited, c=Fire(), a=conv(2, 2), gate=Fire()),
         (2, 4, 4), inputs=SPIKES,
         # each spike joins the mean of its channel and goes to two channels; 32 neurons, then two
         counts=together(costs(additions=32 + 16 * 2 * 2, dense_macs=4, ands=32), neuron_cost(32), neuron_cost(2))),
    Case("a gate for each step", lambda: Net(lambda x, n: n(x) * n(x).mean((1, 2), keepdim=True), n=Fire()), (3, 4),
         counts=together(costs(additions=12, ands=12), neuron_cost(12), neuron_cost(12))),
    Case("two experts", lambda: Net(experts, a=linear(6, 4), b=linear(6, 4), router=linear(6, 2)), (6,),
         inputs=SPIKES, counts=costs(additions=6 * (4 + 4 + 2), dense_macs=60, compares=1, ands=4)),
    Case("softly mixed experts", lambda: Net(lambda x, a, b, r: (r(x).softmax(1)[:, :, None]
         * torch.stack([a(x), b(x)], 1)).sum(1), a=linear(6, 4), b=linear(6, 4), r=linear(6, 2)), (6,), "hybrid",
         # two exponentials and divisions, then a share for each of eight values
         costs(additions=60, dense_macs=60, multiplications=2 + 8, functions=2, sums=4 + 4), inputs=SPIKES),
    Case("broadcast selection", lambda: Net(lambda x, fc: torch.where(x[:, :, None] > 0, fc(x)[:, None], 0.0),
         fc=linear(3, 5)), (3,), inputs=SPIKES,
         counts=costs(additions=15, dense_macs=15, compares=3, ands=15)),
    Case("a mask times a membrane", lambda: Net(lambda x, fc: fc(x) * (fc(x) > 0), fc=linear(6, 4)), (6,),
         inputs=SPIKES, counts=costs(additions=2 * 24, dense_macs=2 * 24, compares=4, ands=4)),
    Case("an integer gate of a neuron", lambda: Net(lambda x, a, b, n: a(x) * n(b(x)), a=linear(6, 4),
         b=linear(6, 4), n=Fire(ILIF(2))), (6,), inputs=SPIKES,
         # two copies of a membrane at most
         counts=costs(additions=48 + 2 * 4, dense_macs=48, compares=2 * 4)),
    Case("an integer gate by hand", lambda: Net(lambda x, n: n(x) * x.sum(1, keepdim=True), n=Fire()), (6,),
         inputs=FOUR, counts=together(costs(additions=4 * 6, ands=6), neuron_cost(6))),
    Case("masked fill", lambda: Net(lambda x, fc: fc(x).masked_fill(x > 0, -1.0), fc=linear(6, 6)), (6,),
         inputs=SPIKES, counts={**LAYER, **costs(compares=6, ands=6)}),
    Case("a maximum of two branches", lambda: Net(lambda x, a, b: torch.maximum(a(x), b(x)), a=linear(6, 4),
         b=linear(6, 4)), (6,), inputs=SPIKES, counts=costs(additions=48, dense_macs=48, compares=4)),
]  # fmt: skip
