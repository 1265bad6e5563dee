"""In-place operations, views that are written to, and names for the same memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditing.nets import FOUR, SPIKES, Case, Fire, Net, bn, conv, costs, linear, neuron_cost, together

LAYER = costs(additions=6 * 6, dense_macs=6 * 6)


def squared_in_place(x: Tensor, fc: nn.Module) -> Tensor:
    y = fc(x)
    return y.mul_(y)


def through_a_view(x: Tensor, fc: nn.Module) -> Tensor:
    """The rows of y are multiplied under another name."""
    y = fc(x)
    rows = y.view(-1, 2, 3)
    rows[:, 0].mul_(rows[:, 1])
    return y


def halves(x: Tensor, fc: nn.Module) -> Tensor:
    """Half of the channels gets another factor."""
    y = fc(x)
    y[:, :3] *= 0.3
    return y


def filled(x: Tensor, fc: nn.Module, n: nn.Module) -> Tensor:
    """A buffer whose parts are spikes."""
    out = torch.zeros(x.shape[0], 12)
    out[:, :6] = x
    out[:, 6:] = n(x)
    return fc(out)


def filled_with_reals(x: Tensor, a: nn.Module, fc: nn.Module) -> Tensor:
    out = torch.zeros(x.shape[0], 12)
    out[:, :6] = x
    out[:, 6:] = a(x)
    return fc(out)


def steps_of_a_buffer(x: Tensor, n: nn.Module, fc: nn.Module) -> Tensor:
    """Each step's spikes are written into a buffer of all."""
    out = torch.empty(x.shape[0], 2, 3)
    for t in range(2):
        out[:, t] = n(x[:, t])
    return fc(out)


def aliased(x: Tensor, fc: nn.Module) -> Tensor:
    """The same tensor under two names: what is added to one is in the other."""
    y = fc(x)
    z = y
    z += 1
    return y * z


def accumulated(x: Tensor, a: nn.Module, b: nn.Module) -> Tensor:
    y = a(x)
    y += b(x)
    y += x
    return y


def relu_inside(x: Tensor, c: nn.Module, b: nn.Module, n: nn.Module) -> Tensor:
    return n(F.relu(b(c(x)), inplace=True))


def written_input(x: Tensor, fc: nn.Module) -> Tensor:
    x = x.clone()
    x[:, 0] = 5.0
    return fc(x)


def by_mask(x: Tensor, fc: nn.Module) -> Tensor:
    y = fc(x)
    y[y < 0] = 0.0
    return y


def swapped(x: Tensor, fc: nn.Module) -> Tensor:
    x = x.clone()
    x[:, :3], x[:, 3:] = x[:, 3:].clone(), x[:, :3].clone()
    return fc(x)


def expanded_then_written(x: Tensor, fc: nn.Module) -> Tensor:
    rows = x[:, None].expand(-1, 2, -1).clone()
    rows[:, 1] *= rows[:, 0]
    return fc(rows)


def diagonal(x: Tensor) -> Tensor:
    y = x[:, :, None] * x[:, None]
    y.diagonal(dim1=1, dim2=2).zero_()
    return y


CASES = [
    Case("a square in place", lambda: Net(squared_in_place, fc=linear(6, 6)), (6,), "hybrid",
         {**LAYER, **costs(multiplications=6)}, inputs=SPIKES),
    Case("a product through a view", lambda: Net(through_a_view, fc=linear(6, 6)), (6,), "hybrid",
         # three products; to write them to a known place costs nothing
         {**LAYER, **costs(multiplications=3)}, inputs=SPIKES),
    Case("a factor for half the channels in place", lambda: Net(halves, fc=linear(6, 6)), (6,), "hybrid",
         {**LAYER, **costs(multiplications=3)}, inputs=SPIKES),
    Case("a buffer filled with spikes", lambda: Net(filled, fc=linear(12, 2), n=Fire()), (6,), inputs=SPIKES,
         counts=together(costs(additions=24, dense_macs=24), neuron_cost(6))),
    Case("a buffer filled with reals", lambda: Net(filled_with_reals, a=linear(6, 6), fc=linear(12, 2)), (6,),
         "hybrid", together(LAYER, costs(multiplications=24, dense_macs=24)), inputs=SPIKES),
    Case("a buffer that was never written first", lambda: Net(steps_of_a_buffer, n=Fire(), fc=linear(3, 2)), (2, 3),
         "hybrid",
         # nothing says that the whole buffer was written
         together(costs(multiplications=12, dense_macs=12), neuron_cost(6))),
    Case("one tensor, two names", lambda: Net(aliased, fc=linear(6, 6)), (6,), "hybrid",
         {**LAYER, **costs(multiplications=6, sums=6)}, inputs=SPIKES),
    Case("sums in place", lambda: Net(accumulated, a=linear(6, 6), b=linear(6, 6)), (6,), inputs=SPIKES,
         counts=together(LAYER, LAYER, costs(sums=12))),
    Case("a rectifier in place", lambda: Net(relu_inside, c=conv(2, 3), b=bn(3), n=Fire()), (2, 4, 4), inputs=SPIKES,
         counts=together(costs(additions=96, dense_macs=96, sums=48, compares=48), neuron_cost(48))),
    Case("an input written to", lambda: Net(written_input, fc=linear(6, 5)), (6,), inputs=FOUR,
         # five is no level of the neuron in front, but an integer
         counts=costs(additions=5 * 30, dense_macs=30)),
    Case("a mask that writes", lambda: Net(by_mask, fc=linear(6, 6)), (6,), inputs=SPIKES,
         counts={**LAYER, **costs(compares=6, ands=6)}),
    Case("halves swapped", lambda: Net(swapped, fc=linear(6, 5)), (6,), inputs=SPIKES,
         counts=costs(additions=30, dense_macs=30)),
    Case("a copy multiplied by its first row", lambda: Net(expanded_then_written, fc=linear(3, 2)), (3,),
         inputs=SPIKES, counts=costs(ands=3, additions=2 * 6, dense_macs=12)),
    Case("a diagonal set to nought", lambda: Net(diagonal), (3,), inputs=SPIKES, counts=costs(ands=9)),
    Case("a factor in place", lambda: Net(lambda x, fc: fc(x).mul_(0.3), fc=linear(6, 6)), (6,), inputs=SPIKES,
         counts=LAYER),
    Case("a division in place", lambda: Net(lambda x, fc: fc(x).div_(fc(x)), fc=linear(6, 6)), (6,), "hybrid",
         together(LAYER, LAYER, costs(multiplications=6)), inputs=SPIKES),
    Case("a sum of products in place", lambda: Net(lambda x, fc: fc(x).addcmul_(x, fc(x)), fc=linear(6, 6)), (6,),
         inputs=SPIKES, counts=together(LAYER, LAYER, costs(ands=6, sums=6))),
    Case("a limit in place", lambda: Net(lambda x, fc: fc(x.clamp_(0, 2)), fc=linear(6, 6)), (6,), inputs=FOUR,
         counts=costs(compares=12, additions=2 * 36, dense_macs=36)),
    Case("a copy in place", lambda: Net(lambda x, fc: fc(torch.empty_like(x).copy_(x)), fc=linear(6, 6)), (6,),
         inputs=SPIKES, counts=LAYER),
    Case("an operation into a given tensor", lambda: Net(lambda x: torch.mul(x, x, out=torch.empty_like(x))), (6,),
         "hybrid", costs(multiplications=6)),
]  # fmt: skip
