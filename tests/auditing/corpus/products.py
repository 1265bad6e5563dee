"""Products of two values, under every name and in every disguise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditing.nets import FOUR, SPIKES, Case, Fire, Net, conv, costs, linear, neuron_cost, together
from spikedrive.neurons import ILIF


def by_squares(x: Tensor) -> Tensor:
    """a b = ((a + b)^2 - (a - b)^2) / 4."""
    a, b = x[:, :3], x[:, 3:]
    return ((a + b).square() - (a - b).square()) / 4


def by_logarithms(x: Tensor) -> Tensor:
    """a b = exp(log a + log b)."""
    return torch.exp(torch.log(x[:, :3]) + torch.log(x[:, 3:]))


def by_a_table(x: Tensor, table: nn.Module) -> Tensor:
    """a b read from a table of all products of two integers below eight."""
    a, b = x[:, :3], x[:, 3:]
    return table((8 * a + b).long())[..., 0]


def by_bits(x: Tensor) -> Tensor:
    """n y as the shifted copies of y that the bits of n select."""
    n, y = x[:, 0].int(), x[:, 1]
    return sum(torch.where(((n >> k) & 1).bool(), y * 2**k, 0.0) for k in range(3))  # type: ignore[return-value]


def by_repetition(x: Tensor) -> Tensor:
    """n y as y added wherever n is above 0, 1, 2 and 3."""
    n, y = x[:, :1], x[:, 1:].sqrt()
    return sum(torch.where(n > k, y, 0.0) for k in range(4))  # type: ignore[return-value]


CASES = [
    Case("addcmul", lambda: Net(lambda x: torch.addcmul(x, x, x)), (6,), "hybrid",
         # a product and a sum each
         costs(multiplications=6, sums=6)),
    Case("addcdiv", lambda: Net(lambda x: torch.addcdiv(x, x, x)), (6,), "hybrid",
         costs(multiplications=6, sums=6)),
    Case("lerp by a value", lambda: Net(lambda x: torch.lerp(x, x + 1, x)), (6,), "hybrid",
         # x + 1, and w (end - start) from the nearer end: |w| >= 1/2 selects w or w - 1, and the end it is added to
         costs(multiplications=6, sums=(1 + 1 + 1 + 1) * 6, compares=2 * 6, ands=2 * 6)),
    Case("outer product", lambda: Net(lambda x: torch.einsum("bi,bj->bij", x, x)), (6,), "hybrid",
         costs(multiplications=6 * 6)),
    Case("outer product of spikes", lambda: Net(lambda x: x[:, :, None] * x[:, None]), (6,), inputs=SPIKES,
         counts=costs(ands=6 * 6)),
    Case("bmm", lambda: Net(lambda x: torch.bmm(x, x.transpose(1, 2))), (3, 4), "hybrid",
         costs(multiplications=3 * 3 * 4, dense_macs=3 * 3 * 4)),
    Case("baddbmm", lambda: Net(lambda x: torch.baddbmm(x[:, :, :3], x, x.transpose(1, 2))), (3, 4), "hybrid",
         costs(multiplications=3 * 3 * 4, dense_macs=3 * 3 * 4, sums=3 * 3)),
    Case("einsum of spikes", lambda: Net(lambda x: torch.einsum("bij,bkj->bik", x, x)), (3, 4), inputs=SPIKES,
         counts=costs(additions=3 * 3 * 4, dense_macs=3 * 3 * 4)),
    Case("three factors in an einsum", lambda: Net(lambda x: torch.einsum("bi,bi,bi->b", x, x, x)), (6,), "hybrid",
         # x x each, then a row times a column
         costs(multiplications=6 + 6, dense_macs=6)),
    Case("dot product of rows", lambda: Net(lambda x: (x * x.roll(1, 1)).sum(1)), (6,), "hybrid",
         costs(multiplications=6, sums=5)),
    Case("cross product", lambda: Net(lambda x: torch.linalg.cross(x[:, :3], x[:, 3:])), (6,), "hybrid",
         # two products and a difference for each of three
         costs(multiplications=6, sums=3)),
    Case("power of a value", lambda: Net(lambda x: torch.pow(x, x)), (6,), "hybrid",
         # exp(y log x)
         costs(multiplications=6, functions=2 * 6)),
    Case("a root", lambda: Net(lambda x: x**0.5), (6,), "hybrid", costs(functions=6)),
    Case("the power of a spike", lambda: Net(lambda x: x**2), (6,), inputs=SPIKES, counts=costs(ands=6)),
    Case("two to the power of an integer", lambda: Net(lambda x: 2.0**x), (6,), inputs=FOUR,
         counts=costs(shifts=6)),
    Case("e to the power of an integer", lambda: Net(torch.exp), (6,), "hybrid", costs(functions=6), inputs=FOUR),
    Case("a product by squares", lambda: Net(by_squares), (6,), "hybrid",
         # two squares, a sum and a difference in front and one behind; the quarter is a readout's
         costs(multiplications=2 * 3, sums=3 * 3)),
    Case("a product by the squares of spikes", lambda: Net(by_squares), (6,), "gated-additive",
         # sums of two spikes squared: no neuron bounds a sum
         costs(multiplications=2 * 3, sums=3 * 3), inputs=SPIKES),
    Case("a product by the logarithms of two halves", lambda: Net(by_logarithms), (6,), "hybrid",
         # two logarithms, a sum and an exponential each
         costs(functions=3 * 3, sums=3)),
    Case("a product by a table", lambda: Net(by_a_table, table=nn.Embedding(64, 1)), (6,), inputs=FOUR,
         # 8 a is a shift, then a sum and a look-up: no multiplication, and 64 constants
         counts=costs(shifts=3, sums=3, lookups=3)),
    Case("a product by bits", lambda: Net(by_bits), (2,), inputs=FOUR,
         # of three bits two are shifted down, as two copies of y are shifted up; a gate and a selection a bit, two sums
         counts=costs(shifts=2 + 2, ands=3 + 3, sums=2)),
    Case("a product by repetition", lambda: Net(by_repetition), (4,), "hybrid",
         # the roots remain; the product itself is four comparisons, and four selections that three sums join
         costs(functions=3, compares=4, ands=4 * 3, sums=3 * 3), inputs=FOUR),
    Case("a running sum times its input", lambda: Net(lambda x: x.cumsum(1) * x), (4,), "hybrid",
         costs(multiplications=4, sums=3)),
    Case("a running sum of spikes times spikes", lambda: Net(lambda x: x.cumsum(1) * x), (4,), inputs=SPIKES,
         counts=costs(ands=4, sums=3)),
    Case("running sums times running sums", lambda: Net(lambda x: x.cumsum(1) * x.cumsum(1)), (4,),
         "gated-additive", costs(multiplications=4, sums=2 * 3), inputs=SPIKES),
    Case("a running product", lambda: Net(lambda x: x.cumprod(1)), (4,), "hybrid", costs(multiplications=3)),
    Case("a running product of spikes", lambda: Net(lambda x: x.cumprod(1)), (4,), inputs=SPIKES,
         counts=costs(ands=3)),
    Case("a kernel made from the input", lambda: Net(lambda x: F.conv1d(x, x[0, :1, None, :2])), (1, 5), "hybrid",
         costs(multiplications=4 * 2, dense_macs=4 * 2)),
    Case("a kernel of spikes", lambda: Net(lambda x: F.conv1d(x, x[0, :1, None, :2])), (1, 5), inputs=SPIKES,
         # four places of two taps, each at most one addition
         counts=costs(additions=4 * 2, dense_macs=4 * 2)),
    Case("a weight made from the input", lambda: Net(lambda x, fc: F.linear(x, fc(x[:1]).view(2, 3)),
         fc=linear(3, 6)), (3,), "hybrid",
         # the second layer multiplies pixels by what the first made of them
         costs(multiplications=3 * 6 + 3 * 2, dense_macs=3 * 6 + 3 * 2), analog=("parts.fc",)),
    Case("a product of three spikes", lambda: Net(lambda x: x * x.roll(1, 1) * x.roll(2, 1)), (6,), inputs=SPIKES,
         counts=costs(ands=2 * 6)),
    Case("signs times signs meet a weight", lambda: Net(lambda x, fc: fc(x.sign() * (x - 1).sign()),
         fc=linear(6, 5)), (6,),
         # a product of signs is a sign; pixels less one are compared with nought
         counts=costs(additions=6 * 5, dense_macs=6 * 5, compares=2 * 2 * 6, ands=6, sums=6)),
    Case("integers of a neuron squared", lambda: Net(lambda x, n: n(x).square(), n=Fire(ILIF())), (6,),
         # four comparisons, and n copies of n
         counts=costs(compares=4 * 6, additions=4 * 6)),
    Case("an integer times many membranes", lambda: Net(lambda x, fc: x[:, :1] * fc(x), fc=linear(3, 6)), (3,),
         # the one integer adds each of six membranes up to four times
         counts=costs(additions=4 * 3 * 6 + 4 * 6, dense_macs=3 * 6), inputs=FOUR),
    Case("an integer times many membranes, on data", lambda: Net(lambda x, fc: x[:, :1] * fc(x), fc=linear(3, 6)),
         (3,), inputs=FOUR, data=torch.tensor([[2.0, 0.0, 1.0]]), counts=costs(additions=3 * 6 + 2 * 6,
         dense_macs=3 * 6)),
    Case("two scaled spikes select membranes", lambda: Net(lambda x, fc, a, b: (fc(x) * a(x) + fc(x) * b(x)).relu(),
         fc=linear(6, 6), a=Fire(ILIF(1, scale=1 / 3)), b=Fire(ILIF(1, scale=0.7))), (6,), "hybrid",
         # each scale is of its own, so that neither folds; the layer on pixels runs twice
         costs(multiplications=2 * 36 + 6 + 6, dense_macs=72, compares=2 * 6 + 6, ands=2 * 6, sums=6),
         analog=("parts.fc",)),
    Case("products inside a convolution of spikes", lambda: Net(lambda x, c: c(x * x.flip(1)), c=conv(2, 3)),
         (2, 4, 4), inputs=SPIKES, counts=costs(ands=32, additions=32 * 3, dense_macs=96)),
    Case("products of integers meet a neuron", lambda: Net(lambda x, n, fc: fc(n(x @ x.transpose(1, 2))), n=Fire(),
         fc=linear(5, 2)), (5, 6), inputs=FOUR,
         counts=together(costs(additions=4 * 150 + 25 * 2, dense_macs=150 + 50), neuron_cost(25))),
    Case("variance", lambda: Net(lambda x: x.var(1, correction=0)), (6,), "hybrid",
         # the squares, and the two constants of a mean and a mean of squares
         costs(multiplications=6 + 2, sums=3 * 6)),
    Case("a vector's length", lambda: Net(lambda x: x.norm(dim=1)), (6,), "hybrid",
         costs(multiplications=6, functions=1, sums=6)),
    Case("Manhattan distance", lambda: Net(lambda x: (x - x.roll(1, 1)).abs().sum(1)), (6,),
         counts=costs(compares=6, sums=6 + 5)),
]  # fmt: skip
