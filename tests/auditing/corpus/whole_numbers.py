"""Spikes and integers made outside of neurons: comparisons, roundings, casts, bits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditing.nets import FOUR, SPIKES, Case, Fire, Net, costs, linear, neuron_cost, together
from spikedrive.ops.domain import Domain, Ternary

# 6 spikes meet 5 weights each
LAYER = costs(additions=6 * 5, dense_macs=6 * 5)
SIGNS = (Ternary(),)
SIGNED = (Domain(-3, 2),)


def of(change: object) -> nn.Module:
    """A layer on what `change` makes of the input."""
    return Net(lambda x, fc: fc(change(x)), fc=linear(6, 5))  # type: ignore[operator]


def levels(x: Tensor) -> Tensor:
    """How many of four thresholds x exceeds."""
    return sum((x > t).float() for t in (0.1, 0.4, 0.9, 1.6))  # type: ignore[return-value]


def quantised(x: Tensor) -> Tensor:
    """Eight bits between nought and one, as a stub for a quantiser writes them."""
    return (x.clamp(0, 1) * 255).round() / 255


def straight_through(x: Tensor) -> Tensor:
    """A spike whose gradient is that of x."""
    return (x > 0.5).float().detach() + x.clamp(0, 1) - x.clamp(0, 1).detach()


CASES = [
    Case("a comparison selects nothing but spikes", lambda: of(lambda x: torch.where(x > 1, 1.0, 0.0)), (6,),
         counts={**LAYER, **costs(compares=6, ands=6)}),
    Case("a comparison selects one of two reals", lambda: of(lambda x: torch.where(x > 1, 0.7, 0.3)), (6,),
         # 0.3 and a spike times 0.4: a bias and a weight
         counts={**LAYER, **costs(compares=6, ands=6, sums=5)}),
    Case("a comparison selects signs", lambda: of(lambda x: torch.where(x > 1, 0.3, -0.3)), (6,),
         counts={**LAYER, **costs(compares=6, ands=6)}),
    Case("one hot by writing", lambda: Net(lambda x, fc: fc(torch.zeros_like(x).scatter(1, x.argmax(1,
         keepdim=True), 1.0)), fc=linear(6, 5)), (6,),
         # the largest of six, and one look-up of its place
         counts={**LAYER, **costs(compares=5, lookups=1)}),
    Case("a comparison scaled", lambda: of(lambda x: (x > 1) * 0.3), (6,), counts={**LAYER, **costs(compares=6)}),
    Case("float to bool to float", lambda: of(lambda x: x.bool().float()), (6,),
         counts={**LAYER, **costs(compares=6)}),
    Case("spikes to bool to half to float", lambda: of(lambda x: x.bool().half().float()), (6,), inputs=SPIKES,
         counts=LAYER),
    Case("a comparison with another value", lambda: of(lambda x: (x > x.roll(1, 1)).float()), (6,),
         counts={**LAYER, **costs(compares=6)}),
    Case("heaviside", lambda: of(lambda x: torch.heaviside(x, torch.ones(1))), (6,),
         # equal to nought, larger than nought, no number; three selections
         counts={**LAYER, **costs(compares=3 * 6, ands=3 * 6)}),
    Case("a threshold function keeps reals", lambda: of(lambda x: F.threshold(x, 0.5, 0.0)), (6,),
         # what passes is a pixel, so that the layer is the first
         counts=costs(multiplications=30, dense_macs=30, compares=6, ands=6), analog=("parts.fc",)),
    Case("four thresholds are an integer", lambda: of(levels), (6,),
         # a sum of four spikes
         counts=costs(compares=4 * 6, sums=3 * 6, additions=4 * 30, dense_macs=30)),
    Case("a straight-through spike by hand", lambda: of(straight_through), (6,), "hybrid",
         # the audit does not see that x - x is nought: the layer meets a real number
         costs(compares=6 + 2 * 2 * 6, sums=2 * 6, multiplications=30, dense_macs=30)),
    Case("floor of a bounded number", lambda: of(lambda x: x.clamp(0, 2.5).floor()), (6,),
         counts=costs(compares=2 * 6 + 2 * 6, additions=2 * 30, dense_macs=30)),
    Case("ceil of a bounded number", lambda: of(lambda x: x.clamp(0, 2.5).ceil()), (6,),
         counts=costs(compares=2 * 6 + 3 * 6, additions=3 * 30, dense_macs=30)),
    Case("truncation of a bounded number", lambda: of(lambda x: x.clamp(-2.5, 1.5).int().float()), (6,),
         counts=costs(compares=2 * 6 + 3 * 6, additions=2 * 30, dense_macs=30)),
    Case("rounding of an unbounded number", lambda: of(torch.round), (6,), "hybrid",
         costs(compares=6, multiplications=30, dense_macs=30)),
    Case("a quantiser's stub", lambda: of(quantised), (6,),
         # the factor folds into the thresholds, its inverse into the weights; 255 levels are 255 comparisons
         counts=costs(compares=2 * 6 + 255 * 6, additions=255 * 30, dense_macs=30)),
    Case("quantised numbers squared", lambda: Net(lambda x: quantised(x).square()), (6,), "gated-additive",
         costs(compares=2 * 6 + 255 * 6, multiplications=6)),
    Case("half a unit is no integer", lambda: of(lambda x: x + 0.5), (6,), inputs=SPIKES,
         # the half is a bias
         counts={**LAYER, **costs(sums=5)}),
    Case("one less a spike", lambda: of(lambda x: 1 - x), (6,), inputs=SPIKES, counts=LAYER),
    Case("not a spike", lambda: of(lambda x: (~x.bool()).float()), (6,), inputs=SPIKES,
         counts={**LAYER, **costs(compares=6)}),
    Case("either spike", lambda: of(lambda x: (x.bool() | x.roll(1, 1).bool()).float()), (6,), inputs=SPIKES,
         counts={**LAYER, **costs(ands=6)}),
    Case("one spike only", lambda: of(lambda x: torch.logical_xor(x, x.roll(1, 1)).float()), (6,), inputs=SPIKES,
         counts={**LAYER, **costs(ands=6)}),
    Case("either spike by sum and product", lambda: of(lambda x: x + x.roll(1, 1) - x * x.roll(1, 1)), (6,),
         inputs=SPIKES,
         # bounded by 2 - 0 and 0 - 1, for the audit does not see that both are one
         counts=costs(ands=6, sums=2 * 6, additions=2 * 30, dense_macs=30)),
    Case("the lowest bit of an integer", lambda: of(lambda x: (x.int() & 1).float()), (6,), inputs=FOUR,
         counts={**LAYER, **costs(ands=6)}),
    Case("an integer modulo two", lambda: of(lambda x: x % 2), (6,), inputs=FOUR, counts={**LAYER, **costs(ands=6)}),
    Case("an integer modulo three", lambda: of(lambda x: x % 3), (6,), "hybrid",
         costs(multiplications=2 * 6 + 30, sums=6, dense_macs=30), inputs=FOUR),
    Case("integers halved and rounded down", lambda: of(lambda x: x // 2), (6,), inputs=FOUR,
         # two levels of a quotient are two thresholds of the integer
         counts=costs(compares=2 * 6, additions=2 * 30, dense_macs=30)),
    Case("integers shifted down", lambda: of(lambda x: (x.int() >> 1).float()), (6,), inputs=FOUR,
         counts=costs(shifts=6, additions=2 * 30, dense_macs=30)),
    Case("integers shifted up", lambda: of(lambda x: (x.int() << 1).float()), (6,), inputs=FOUR,
         # the factor of two folds into the weights
         counts=costs(additions=4 * 30, dense_macs=30)),
    Case("whole numbers that wrap around", lambda: of(lambda x: (x.to(torch.int8) * 100).float()), (6,), "hybrid",
         # 400 is no eight-bit number
         costs(multiplications=30, dense_macs=30), inputs=FOUR),
    Case("whole numbers that do not wrap around", lambda: of(lambda x: (x.to(torch.int16) * 100).float()), (6,),
         inputs=FOUR, counts=costs(additions=4 * 30, dense_macs=30)),
    Case("less than nothing in a type without a sign", lambda: of(lambda x: (x.to(torch.uint8) - 1).float()), (6,),
         "hybrid", costs(multiplications=30, dense_macs=30), inputs=SPIKES),
    Case("integers limited from below beyond their range", lambda: of(lambda x: x.clamp(min=6)), (6,), inputs=FOUR,
         counts=costs(compares=6, additions=6 * 30, dense_macs=30)),
    Case("integers limited from above below their range", lambda: of(lambda x: (x + 1).clamp(max=0)), (6,),
         # nothing is left of them: every output is nought
         inputs=FOUR, counts=costs(compares=6, dense_macs=30, additions=30, sums=5)),
    Case("relu of signed integers", lambda: of(torch.relu), (6,), inputs=SIGNED,
         counts=costs(compares=6, additions=2 * 30, dense_macs=30)),
    Case("the size of signed integers", lambda: of(torch.abs), (6,), inputs=SIGNED,
         counts=costs(compares=6, additions=3 * 30, dense_macs=30)),
    Case("a sign of integers", lambda: of(torch.sign), (6,), inputs=SIGNED, counts={**LAYER, **costs(compares=12)}),
    Case("ternary numbers squared are spikes", lambda: of(torch.square), (6,), inputs=SIGNS,
         counts={**LAYER, **costs(ands=6)}),
    Case("ternary numbers select", lambda: Net(lambda x, fc: fc(x) * x, fc=linear(6, 6)), (6,), inputs=SIGNS,
         counts=costs(additions=36, dense_macs=36, ands=6)),
    Case("one hot", lambda: Net(lambda x, fc: fc(F.one_hot(x.long(), 5).float()), fc=linear(5, 2)), (3,), inputs=FOUR,
         # an integer compared with five numbers
         counts=costs(compares=3 * 5, additions=15 * 2, dense_macs=15 * 2)),
    Case("the place of the largest", lambda: Net(lambda x, fc: F.one_hot(fc(x).argmax(1), 4).float(),
         fc=linear(6, 4)), (6,), inputs=SPIKES, counts=costs(additions=24, dense_macs=24, compares=3 + 4)),
    Case("the two largest pass", lambda: of(lambda x: torch.where(x >= x.topk(2, 1)[0][:, 1:], 1.0, 0.0)), (6,),
         counts={**LAYER, **costs(compares=2 * 6 + 6, ands=6)}),
    Case("buckets", lambda: of(lambda x: torch.bucketize(x, torch.tensor([0.1, 0.5, 1.1])).float()), (6,),
         # two comparisons find one of four
         counts=costs(compares=2 * 6, additions=3 * 30, dense_macs=30)),
    Case("a sum that stays small", lambda: Net(lambda x, n: n(x.clamp(0, 3).round() + 1), n=Fire()), (6,),
         # the one is added to every membrane
         counts=together(costs(compares=2 * 6 + 3 * 6, sums=6), neuron_cost(6))),
    Case("numbers that differ by infinity", lambda: Net(lambda x: (x @ x.transpose(1, 2) * 0.3
         + torch.full((3, 3), -torch.inf).triu(1)).softmax(-1)), (3, 4), "hybrid", inputs=SPIKES,
         # coincidences of spikes times a constant, a mask, and the softmax
         data=torch.ones(1, 3, 4), counts=costs(additions=36 + 36, sums=9 + 2 * 9, multiplications=9, functions=9,
         dense_macs=36)),
]  # fmt: skip
