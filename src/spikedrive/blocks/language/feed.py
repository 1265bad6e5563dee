"""Channel mixers of language models: what every token does on its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikedrive.blocks.language.linear import NormLinear
from spikedrive.blocks.language.tokens import TokenShift, token_neuron
from spikedrive.blocks.neuron import NeuronLike


class ChannelMix(nn.Module):
    """RWKV's channel mixing behind a norm, its answer as spikes: the second branch of SpikeGPT.

    *Equation*: with n = norm(x), n' the token before, and shares m: k = relu(W_k (m_k n + (1 - m_k) n'))^2,
    r = sigmoid(W_r (m_r n + (1 - m_r) n')), y = neuron(scale r W_v k).
    *Shapes*: x (L, B, C) -> (L, B, C), spikes.
    *Multiplies*: everything: the norm feeds real numbers into each matrix product.
    *Source*: SpikeGPT (arXiv 2302.13939), `RWKV_ChannelMix` of its code.
    """

    def __init__(self, width: int, *, layer: int, layers: int, neuron: NeuronLike = "LIF") -> None:
        super().__init__()
        self.norm, self.shift = nn.LayerNorm(width), TokenShift()
        share = (torch.arange(width) / width) ** (1 - layer / layers)
        self.key_share, self.gate_share = nn.Parameter(share), nn.Parameter(share.clone())
        self.key = nn.Linear(width, 4 * width, bias=False)
        self.gate = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(4 * width, width, bias=False)
        self.neuron = token_neuron(neuron)
        for linear in (self.gate, self.value):
            nn.init.zeros_(linear.weight)

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        """The branch, without its shortcut."""
        x = self.norm(x)
        before = self.shift(x)
        k = torch.relu(self.key(torch.lerp(before, x, self.key_share))).square()
        r = torch.sigmoid(self.gate(torch.lerp(before, x, self.gate_share)))
        return self.neuron(scale * r * self.value(k))


class SpikeFeed(nn.Module):
    """neuron, linear C -> rC, norm, neuron, linear rC -> C, norm: the branch of a membrane shortcut.

    *Shapes*: x (L, B, C) -> (L, B, C).
    *Multiplies*: none: both layers meet spikes or integers, and the norms fold into them.
    """

    def __init__(self, width: int, ratio: float = 4, *, gain: float = 1.0, neuron: NeuronLike) -> None:
        super().__init__()
        hidden = int(width * ratio)
        self.in_neuron, self.hidden_neuron = token_neuron(neuron), token_neuron(neuron)
        self.expand, self.reduce = NormLinear(width, hidden), NormLinear(hidden, width, gain=gain)

    def forward(self, x: Tensor) -> Tensor:
        """The branch, without its shortcut."""
        return self.reduce(self.hidden_neuron(self.expand(self.in_neuron(x))))
