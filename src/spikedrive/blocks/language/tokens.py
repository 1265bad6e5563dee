"""Neurons and shifts whose state runs along the tokens of a text."""

from __future__ import annotations

import torch
from torch import Tensor

from spikedrive.blocks.neuron import NeuronLike, make_neuron
from spikedrive.neurons import Neuron
from spikedrive.state import Axis, Stateful


def token_neuron(neuron: NeuronLike) -> Neuron:
    """A new neuron whose steps are tokens: `run(..., along="tokens")` carries its membrane.

    *Raises*: as `make_neuron`.

    >>> token_neuron("LIF").axis
    'tokens'
    """
    made = make_neuron(neuron)
    made.axis = "tokens"
    return made


class TokenShift(Stateful):
    """Every token sees the one before it; the first sees zeros.

    *Equation*: y_t = x_{t-1}, y_0 = 0.
    *Shapes*: x (L, B, C) -> (L, B, C).
    *Multiplies*: none.
    """

    axis: Axis = "tokens"

    def rest(self, x: Tensor) -> Tensor:
        """Zeros, (B, C)."""
        return torch.zeros_like(x[0])

    def scan(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens one later, and the last one."""
        return torch.cat((state[None], x[:-1])), x[-1]
