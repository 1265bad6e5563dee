"""Memory of spikes alone: leaky neurons that a strong input keeps firing for some tokens more."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spikedrive.blocks.language.linear import NormLinear
from spikedrive.blocks.language.tokens import token_neuron
from spikedrive.blocks.mixers.sequence import SEQUENCE_MIXERS
from spikedrive.blocks.neuron import NeuronLike
from spikedrive.errors import ConfigError

THRESHOLDS = (1.0, 0.25, 0.0625, 0.015625)
"""Of the groups of channels: a charge of 1 keeps a neuron firing for about 1, 3, 5 and 7 tokens."""


class SpikeMemory(nn.Module):
    """What earlier tokens charged, let through where a gate fires.

    *Equation*: s = neuron(x); in group i of the channels m_i = LIF(norm(W_i s)) with threshold th_i, decay 1/2 and a
    soft reset: v is halved at each token and a spike takes th_i away, so that a large charge fires for
    log2(charge / th_i) tokens and a negative one ends it; y = norm(O (r AND m)), r = neuron(norm(R s)).
    *Shapes*: x (L, B, C) -> (L, B, C).
    *Multiplies*: none: layers meet spikes or integers, norms fold into them, decays are shifts, the gate is an AND.
    *Raises*: ConfigError where the number of thresholds does not divide C.
    *Source*: the form of RWKV's time mixing (receptance, decayed sum, output), made of spikes.
    """

    def __init__(
        self,
        width: int,
        *,
        layer: int,
        layers: int,
        thresholds: Sequence[float] = THRESHOLDS,
        neuron: NeuronLike = "ILIF",
    ) -> None:
        super().__init__()
        if not thresholds or width % len(thresholds):
            raise ConfigError(
                f"SpikeMemory got {len(thresholds)} thresholds for {width} channels; it takes a number that divides "
                f"them. Use {width // 4 * 4} channels, or other thresholds."
            )
        group = width // len(thresholds)
        self.neuron = token_neuron(neuron)
        self.charge = nn.ModuleList(NormLinear(width, group) for _ in thresholds)
        self.memory = nn.ModuleList(
            token_neuron({"name": "LIF", "threshold": th, "decay_input": False, "reset": "soft"})
            for th in thresholds
        )
        self.gate, self.gate_neuron = NormLinear(width, width), token_neuron({"name": "ILIF", "levels": 1})
        self.output = NormLinear(width, width, gain=layers**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """The branch, without its shortcut."""
        s = self.neuron(x)
        kept = torch.cat([m(charge(s)) for charge, m in zip(self.charge, self.memory, strict=True)], -1)
        return self.output(kept * self.gate_neuron(self.gate(s)))


SEQUENCE_MIXERS.add("spike_memory", SpikeMemory)
