"""RWKV's time mixing: a decayed mean of values, weighted by keys, in a state of constant size."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from spikedrive.blocks.language.tokens import TokenShift, token_neuron
from spikedrive.blocks.mixers.sequence import SEQUENCE_MIXERS
from spikedrive.blocks.neuron import NeuronLike
from spikedrive.ops.wkv import reference, wkv_scan
from spikedrive.state import Axis, Stateful


class WKV(Stateful):
    """The weighted key-value scan over tokens.

    *Equation*: y_t = (sum_{j<t} exp(w (t-1-j) + k_j) v_j + exp(u + k_t) v_t) / (the same sums without v), with
    w = -exp(decay) and u = first, one a channel; see `ops.wkv.reference` for the form that runs.
    *Shapes*: x (L, B, 2 C), k before v -> (L, B, C); the state is (B, 3, C).
    *Multiplies*: an exponential and products a token and channel.
    """

    axis: Axis = "tokens"

    def __init__(self, width: int) -> None:
        super().__init__()
        self.decay, self.first = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))

    def rest(self, x: Tensor) -> Tensor:
        """Nothing was seen yet."""
        return reference.rest(x)

    def scan(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The means, and the state after the last token."""
        return wkv_scan(x, state, -torch.exp(self.decay), self.first)


class TimeMix(nn.Module):
    """RWKV's time mixing behind a norm, its answer as spikes: the first branch of SpikeGPT.

    *Equation*: with n = norm(x), n' the token before, and shares m: k, v, r = W (m n + (1 - m) n') each with its own,
    y = neuron(scale W_o (sigmoid(r) wkv(k, v))).
    *Shapes*: x (L, B, C) -> (L, B, C), spikes.
    *Multiplies*: everything: the norm feeds real numbers into each matrix product.
    *Source*: SpikeGPT (arXiv 2302.13939), `RWKV_TimeMix` of its code.
    """

    def __init__(self, width: int, *, layer: int, layers: int, neuron: NeuronLike = "LIF") -> None:
        super().__init__()
        self.norm, self.shift, self.wkv = nn.LayerNorm(width), TokenShift(), WKV(width)
        depth, near = layer / max(1, layers - 1), 1 - layer / layers
        channel = torch.arange(width)
        share = (channel / width) ** near
        self.key_share = nn.Parameter(share)
        self.value_share = nn.Parameter(share + 0.3 * depth)
        self.gate_share = nn.Parameter((channel / width) ** (near / 2))
        self.key, self.value, self.gate, self.output = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.neuron = token_neuron(neuron)
        for linear in (self.key, self.gate, self.output):
            nn.init.zeros_(linear.weight)
        with torch.no_grad():
            self.wkv.decay.copy_(-5 + 8 * (channel / max(1, width - 1)) ** (0.7 + 1.3 * depth))
            self.wkv.first.copy_(math.log(0.3) + 0.5 * ((channel + 1) % 3 - 1))

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        """The branch, without its shortcut."""
        x = self.norm(x)
        before = self.shift(x)
        k, v, r = (
            layer(torch.lerp(before, x, share))
            for layer, share in (
                (self.key, self.key_share),
                (self.value, self.value_share),
                (self.gate, self.gate_share),
            )
        )
        seen = self.wkv(torch.cat((k, v), -1))
        return self.neuron(scale * self.output(torch.sigmoid(r) * seen))


SEQUENCE_MIXERS.add("wkv", TimeMix)
