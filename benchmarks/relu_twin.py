"""The ANN twin of a spiking network: the same layers, with ReLU in the place of each neuron."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from spikedrive.neurons import Neuron, register_neuron
from spikedrive.ops.domain import Domain


@register_neuron
class ReLU(Neuron):
    """What an integer neuron would emit without steps and without a highest level.

    *Equation*: y = (scale / threshold) max(x, 0).
    *Multiplies*: everything behind it; a twin is a yardstick and no spiking network.
    """

    def __init__(self, threshold: float = 1.0, scale: float = 1.0) -> None:
        super().__init__()
        self.threshold, self.scale = threshold, scale

    @property
    def domain(self) -> Domain | None:
        """None: real numbers, which the next layer multiplies."""
        return None

    def rest(self, x: Tensor) -> None:
        """Nothing is carried."""

    def scan(self, x: Tensor, state: None) -> tuple[Tensor, None]:
        """Real values."""
        return F.relu(x) * (self.scale / self.threshold), None
