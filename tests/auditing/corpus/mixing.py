"""Attention with and without softmax, token mixing, embeddings."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auditing.nets import FOUR, SPIKES, Case, Fire, Net, costs, linear, neuron_cost, together
from spikedrive.neurons import ILIF

# five tokens of width four: 5 * 5 pairs of 4 products, and 5 * 4 sums of 5 products
TOKENS = (5, 4)
SCORES = 5 * 5 * 4
MAPS = 3 * 5 * 4 * 4
# seven tokens below eleven, as numbers
INDEX = (7,)


def attention(x: Tensor, q: nn.Module, k: nn.Module, v: nn.Module, after: object) -> Tensor:
    scores = q(x) @ k(x).transpose(1, 2)
    return after(scores) @ v(x)  # type: ignore[operator]


def projections(**fires: nn.Module) -> dict[str, nn.Module]:
    return {name: nn.Sequential(linear(4, 4), fire) for name, fire in fires.items()}


def spiking(after: object, make: type | object = Fire) -> nn.Module:
    """Queries, keys and values that `make` fires."""
    parts = projections(q=make(), k=make(), v=make())  # type: ignore[operator]
    return Net(lambda x, q, k, v: attention(x, q, k, v, after), **parts)


def real(after: object) -> nn.Module:
    return Net(
        lambda x, q, k, v: attention(x, q, k, v, after), q=linear(4, 4), k=linear(4, 4), v=linear(4, 4)
    )


def causal(scores: Tensor) -> Tensor:
    return scores * torch.ones(5, 5).tril()


def keys_first(x: Tensor, q: nn.Module, k: nn.Module, v: nn.Module) -> Tensor:
    """Linear attention: q (k^T v)."""
    return q(x) @ (k(x).transpose(1, 2) @ v(x))


def tokens_of(function: object, **parts: nn.Module) -> nn.Module:
    return Net(lambda x, **p: function(x.clamp(0, 10).round().long(), **p), **parts)  # type: ignore[operator]


# two limits and ten thresholds make a token of a number
TOKEN = costs(compares=(2 + 10) * 7)

CASES = [
    Case("attention of spikes", lambda: spiking(lambda s: s), TOKENS, inputs=SPIKES,
         # each addition of a score is one of two spikes; a value joins five sums of up to four
         counts=together(costs(additions=MAPS + SCORES + SCORES, dense_macs=MAPS + 2 * SCORES), neuron_cost(60))),
    Case("attention of spikes with a scale, then a neuron", lambda: Net(lambda x, q, k, v, n: n(
         attention(x, q, k, v, lambda s: s * 0.125)), **projections(q=Fire(), k=Fire(), v=Fire()), n=Fire()),
         TOKENS, inputs=SPIKES,
         counts=together(costs(additions=MAPS + 2 * SCORES, dense_macs=MAPS + 2 * SCORES), neuron_cost(80))),
    Case("attention of spikes with a softmax", lambda: spiking(lambda s: s.softmax(-1)), TOKENS, "hybrid",
         # an exponential and a division a score; then spikes add what is real
         together(costs(additions=MAPS + 2 * SCORES, dense_macs=MAPS + 2 * SCORES, functions=25, multiplications=25,
         sums=50), neuron_cost(60)), inputs=SPIKES),
    Case("attention of spikes, scaled by no power of two, with a softmax", lambda: spiking(
         lambda s: (s / math.sqrt(3)).softmax(-1)), TOKENS, "hybrid",
         # a sum of spikes adds the constant up to four times
         together(costs(additions=MAPS + 2 * SCORES + 4 * 25, dense_macs=MAPS + 2 * SCORES, functions=25,
         multiplications=25, sums=50), neuron_cost(60)), inputs=SPIKES),
    Case("causal attention of spikes", lambda: spiking(causal), TOKENS, inputs=SPIKES,
         counts=together(costs(additions=MAPS + 2 * SCORES, dense_macs=MAPS + 2 * SCORES), neuron_cost(60))),
    Case("causal attention of spikes by a selection", lambda: spiking(
         lambda s: torch.where(torch.ones(5, 5).tril() > 0, s, 0.0)), TOKENS, inputs=SPIKES,
         counts=together(costs(additions=MAPS + 2 * SCORES, dense_macs=MAPS + 2 * SCORES, ands=25), neuron_cost(60))),
    Case("linear attention of spikes", lambda: Net(keys_first, **projections(q=Fire(), k=Fire(), v=Fire())), TOKENS,
         inputs=SPIKES,
         # 4 * 4 pairs of 5, then 5 * 4 of 4
         counts=together(costs(additions=MAPS + 80 + 80, dense_macs=MAPS + 160), neuron_cost(60))),
    Case("attention of integers", lambda: spiking(lambda s: s, lambda: Fire(ILIF(3))), TOKENS, inputs=SPIKES,
         # three additions a product of one of three levels
         counts=costs(additions=MAPS + 2 * 3 * SCORES, dense_macs=MAPS + 2 * SCORES, compares=3 * 60)),
    Case("linear attention of sums of spikes", lambda: Net(lambda x, q, k, v: (q(x) + x) @ ((k(x) + x).transpose(1, 2)
         @ v(x)), **projections(q=Fire(), k=Fire(), v=Fire())), TOKENS, "gated-additive",
         # keys times values are additions; the sums of queries bound nothing
         together(costs(additions=MAPS + 80, multiplications=80, sums=40, dense_macs=MAPS + 160), neuron_cost(60)),
         inputs=SPIKES),
    Case("attention of real numbers without a softmax", lambda: real(lambda s: s), TOKENS, "hybrid",
         costs(additions=MAPS, multiplications=2 * SCORES, dense_macs=MAPS + 2 * SCORES), inputs=SPIKES),
    Case("attention of real numbers with a softmax", lambda: real(lambda s: (s / 2).softmax(-1)), TOKENS, "hybrid",
         # half a score is a shift
         costs(additions=MAPS, multiplications=2 * SCORES + 25, dense_macs=MAPS + 2 * SCORES, functions=25,
         sums=50, shifts=25), inputs=SPIKES),
    Case("spikes select tokens", lambda: Net(lambda x, n, v: (n(x.sum(2, keepdim=True)) * v(x)).sum(1), n=Fire(),
         v=linear(4, 4)), TOKENS, inputs=SPIKES,
         counts=together(costs(additions=20 + 80, dense_macs=80, ands=20, sums=4 * 4), neuron_cost(5))),
    Case("distances instead of products", lambda: Net(lambda x: -(x[:, :, None] - x[:, None]).abs().sum(3)), TOKENS,
         inputs=SPIKES,
         # a difference of spikes is a sign, its size a spike
         counts=costs(sums=SCORES, compares=SCORES, additions=SCORES)),
    Case("a constant mixes tokens", lambda: Net(lambda x, fc: fc(x.transpose(1, 2)).transpose(1, 2), fc=linear(5, 3)),
         TOKENS, inputs=SPIKES, counts=costs(additions=20 * 3, dense_macs=60)),
    Case("Fourier mixing", lambda: Net(lambda x: torch.fft.fft(x.cfloat(), dim=1).real), (4, 1), "hybrid",
         # n (p - 1) complex products for each of the primes two and two
         costs(multiplications=4 * 8, sums=4 * 8), inputs=SPIKES),
    Case("Hadamard mixing", lambda: Net(lambda x, fc: fc(x), fc=linear(2, 2)), (2,), inputs=SPIKES,
         counts=costs(additions=4, dense_macs=4)),
    Case("an embedding before a neuron", lambda: tokens_of(lambda x, e, n: n(e(x)), e=nn.Embedding(11, 4), n=Fire()),
         INDEX, counts=together(TOKEN, costs(lookups=28), neuron_cost(28))),
    Case("an embedding, a position and a layer", lambda: tokens_of(lambda x, e, fc: fc(e(x) + torch.ones(7, 4)),
         e=nn.Embedding(11, 4), fc=linear(4, 2)), INDEX, "hybrid",
         # the position is a row of the table for each place: added, but the layer meets real numbers
         {**TOKEN, **costs(lookups=28, sums=28, multiplications=7 * 8, dense_macs=7 * 8)}),
    Case("an embedding by one hot", lambda: tokens_of(lambda x, fc: fc(F.one_hot(x, 11).float()), fc=linear(11, 4)),
         INDEX, counts={**TOKEN, **costs(compares=12 * 7 + 11 * 7, additions=7 * 11 * 4, dense_macs=7 * 11 * 4)}),
    Case("a bag of embeddings", lambda: tokens_of(lambda x, e: e(x), e=nn.EmbeddingBag(11, 4, mode="sum")), INDEX,
         counts={**TOKEN, **costs(lookups=28, sums=28)}),
    Case("a table of spikes meets a layer", lambda: tokens_of(lambda x, fc: fc((torch.arange(33.0).reshape(11, 3)
         % 2)[x]), fc=linear(3, 2)), INDEX, "hybrid",
         # a look-up keeps bounds, not the whole numbers of a table
         {**TOKEN, **costs(lookups=21, multiplications=42, dense_macs=42)}),
    Case("rows by an index of spikes", lambda: Net(lambda x, fc: fc(x.gather(1, x[:, :3].long())), fc=linear(3, 2)),
         (5,), inputs=SPIKES, counts=costs(lookups=3, additions=6, dense_macs=6)),
    Case("sums by an index", lambda: Net(lambda x, fc: fc(torch.zeros(1, 3).expand(x.shape[0], -1).index_add(
         1, torch.tensor([0, 1, 1, 2, 2]), x)), fc=linear(3, 2)), (5,), inputs=SPIKES,
         # two spikes meet at most; each is added once, and each sum of two twice
         counts=costs(additions=5 + 2 * 3 * 2, dense_macs=6)),
    Case("integers by an index", lambda: Net(lambda x, fc: fc(x.index_select(1, torch.tensor([4, 0, 0]))),
         fc=linear(3, 2)), (5,), inputs=FOUR, counts=costs(additions=4 * 6, dense_macs=6)),
]  # fmt: skip
