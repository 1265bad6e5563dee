"""Layers that know no time, so that a graph which is run step by step can be run on (T, B, ...)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikedrive.ops.fold import over_time


class EveryStep(nn.Module):
    """A layer that takes (N, ...), at every step.

    *Shapes*: x (T, B, ...) -> (T, B, ...).

    >>> EveryStep(nn.Conv2d(3, 8, 3))(torch.zeros(4, 2, 3, 9, 9)).shape
    torch.Size([4, 2, 8, 7, 7])
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """The layer's answer to each step."""
        return over_time(self.layer, x)


class InputAffine(nn.Module):
    """What a neuron's input goes through where its resistance, leak or threshold differs from cell to cell.

    *Equation*: y = gain x + offset.
    *Shapes*: x (T, B, *S), gain and offset what broadcasts to S -> (T, B, *S).
    *Multiplies*: one an element, which folds into the weights in front.
    """

    gain: Tensor
    offset: Tensor

    def __init__(self, gain: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.register_buffer("gain", gain)
        self.register_buffer("offset", offset)

    def forward(self, x: Tensor) -> Tensor:
        """Scaled and moved."""
        return torch.addcmul(self.offset.to(x.dtype), self.gain.to(x.dtype), x)
