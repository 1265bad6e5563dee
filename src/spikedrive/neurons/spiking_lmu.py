"""The spiking Legendre memory unit: spikes write the memory, and spikes read it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.neurons.legendre import LegendreMemory
from spikedrive.neurons.lif import LIF
from spikedrive.neurons.neuron import Neuron, check_count
from spikedrive.ops.fold import over_time


class SpikingLMU(nn.Module):
    """A Legendre memory between three spiking populations.

    *Equation*: u = fire(norm(W_u x)), m the memory of u (order d), n = fire(norm(m)),
    h = fire(norm(W_h [n, x])), with a BatchNorm each.

    *Shapes*: x (T, B, inputs) -> (T, B, features).
    *Units*: the window in steps.
    *Multiplies*: W_u and W_h meet spikes where x are spikes, and the memory's input is one too. What stays is
    the memory's own update m = A m, order^2 products a step, which the audit names.
    *Raises*: ConfigError for a size below 1 or a window of zero or less.
    *Source*: Spiking LMUFormer (arXiv 2402.04882). It is plain modules, since each part is a neuron or a
    memory that carries its own state; in eval mode chunks equal the whole.

    >>> SpikingLMU(3, 5, order=4, window=16).eval()(torch.zeros(2, 1, 3)).shape
    torch.Size([2, 1, 5])
    """

    def __init__(
        self,
        inputs: int,
        features: int,
        *,
        order: int,
        window: float,
        neuron: Callable[[], Neuron] = LIF,
        parallel: bool = False,
    ) -> None:
        super().__init__()
        check_count("SpikingLMU", "inputs", inputs)
        check_count("SpikingLMU", "features", features)
        self.write, self.read = (
            nn.Linear(inputs, 1, bias=False),
            nn.Linear(order + inputs, features, bias=False),
        )
        self.memory = LegendreMemory(order=order, window=window, parallel=parallel)
        self.norm_u, self.norm_m, self.norm_h = (
            nn.BatchNorm1d(1),
            nn.BatchNorm1d(order),
            nn.BatchNorm1d(features),
        )
        self.fire_u, self.fire_m, self.fire_h = neuron(), neuron(), neuron()

    def forward(self, x: Float[Tensor, "T B I"]) -> Float[Tensor, "T B O"]:
        """The hidden spikes."""
        u = self.fire_u(over_time(self.norm_u, self.write(x)))
        n = self.fire_m(over_time(self.norm_m, self.memory(u)))
        return self.fire_h(over_time(self.norm_h, self.read(torch.cat([n, x], -1))))
