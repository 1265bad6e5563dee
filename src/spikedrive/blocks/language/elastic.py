"""What SpikeLM is made of: linear layers that read elastic bi-spikes, and attention on spiking keys and values.

Suffixes: T steps, B texts, L tokens, C channels, G heads, D channels of a head.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks.mixers.causal_attention import AttentionCache
from spikedrive.blocks.neuron import NeuronLike, make_neuron
from spikedrive.errors import ConfigError
from spikedrive.ops.fold import over_time

ELASTIC = "ElasticBiSpike"


def elastic_neuron(neuron: NeuronLike | None, steps: int, *, carry: bool = True) -> nn.Module:
    """A new neuron; elastic bi-spikes get an amplitude for each of `steps`, unless `neuron` says otherwise.

    Without `carry` elastic bi-spikes forget their membrane at every step. None is no neuron at all.

    *Raises*: as `make_neuron`.

    >>> elastic_neuron("ElasticBiSpike", 4, carry=False)
    ElasticBiSpike(spread=2, steps=4, decay=0, signs_only=False)
    """
    if neuron is None:
        return nn.Identity()
    described = {"name": neuron} if isinstance(neuron, str) else neuron
    if not isinstance(described, Mapping) or described.get("name") != ELASTIC:
        return make_neuron(neuron)
    return make_neuron({"steps": steps, **described, **({} if carry else {"decay": 0.0})})


class ElasticLinear(nn.Module):
    """neuron, linear layer.

    *Equation*: y_t = W s_t + b with s = neuron(x).
    *Shapes*: x (T, B, L, C) -> (T, B, L, C').
    *Multiplies*: none where the amplitude folds into W, see `ElasticBiSpike`.
    *Source*: SpikeLM (arXiv 2406.03287), `SpikeLinear` of its code.
    """

    def __init__(self, in_features: int, out_features: int, *, steps: int, neuron: NeuronLike | None) -> None:
        super().__init__()
        self.neuron = elastic_neuron(neuron, steps)
        self.linear = nn.Linear(in_features, out_features)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x_TBLC: Tensor) -> Tensor:
        """linear(neuron(x))."""
        return self.linear(self.neuron(x_TBLC))


class ElasticAttention(nn.Module):
    """Softmax attention of real queries over keys and values that are spikes, each step on its own.

    *Equation*: q, k, v = linear layers on spikes; k, v = neuron(k), neuron(v), nothing carried between steps;
    y = linear(neuron(softmax(q k^T / sqrt(D)) v)), a head.
    *Shapes*: x (T, B, L, C) -> (T, B, L, C); seen (T, B, L) bool, where a token may be looked at. With `causal` a
    token sees those before it and itself, and keys and values are the state along the tokens.
    *Multiplies*: the queries, softmax and its products with k and v are real; the linear layers read spikes.
    *Raises*: ConfigError where the heads do not divide the channels.
    *Source*: SpikeLM (arXiv 2406.03287), `BertSelfAttention` of its code, without its dropout on the softmax.
    """

    def __init__(
        self, width: int, heads: int, *, steps: int, neuron: NeuronLike | None, causal: bool = False
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ConfigError(
                f"ElasticAttention got {heads} heads for {width} channels; it takes a number that divides them. Change "
                "heads or width."
            )
        self.heads = heads
        make = lambda: ElasticLinear(width, width, steps=steps, neuron=neuron)  # noqa: E731
        self.query, self.key, self.value, self.output = make(), make(), make(), make()
        self.key_neuron, self.value_neuron = (elastic_neuron(neuron, steps, carry=False) for _ in range(2))
        self.cache = AttentionCache(heads) if causal else None

    def forward(self, x_TBLC: Tensor, seen_TBL: Tensor | None = None) -> Tensor:
        """The branch, without its shortcut."""
        q = self.query(x_TBLC)
        k, v = self.key_neuron(self.key(x_TBLC)), self.value_neuron(self.value(x_TBLC))
        if self.cache is None:
            assert seen_TBL is not None
            return self.output(over_time(self._attend, q, k, v, seen_TBL))
        # the state runs along the tokens, which stand first there
        return self.output(over_time(self._attend_before, torch.cat((q, k, v), -1)))

    def _attend(self, q_NLC: Tensor, k_NLC: Tensor, v_NLC: Tensor, seen_NL: Tensor) -> Tensor:
        q, k, v = (x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in (q_NLC, k_NLC, v_NLC))
        y_NGLD = F.scaled_dot_product_attention(q, k, v, attn_mask=seen_NL[:, None, None])
        return y_NGLD.transpose(1, 2).flatten(2)

    def _attend_before(self, qkv_NLC: Tensor) -> Tensor:
        assert self.cache is not None
        return self.cache(qkv_NLC.transpose(0, 1)).transpose(0, 1)
