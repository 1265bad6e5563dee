"""Patch spikes: a picture becomes tokens of spikes."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from spikedrive.encoders.checks import static_input
from spikedrive.encoders.direct import Direct
from spikedrive.errors import ShapeError
from spikedrive.neurons import LIF, Neuron
from spikedrive.neurons.neuron import check_count
from spikedrive.ops.domain import Domain


class PatchSpikes(nn.Module):
    """Cut a picture into patches, embed each, and let neurons fire on the embedding for T steps.

    *Equation*: s_t = neuron(W p + b) for each patch p, the same current at every step.

    *Shapes*: x (B, C, H, W) -> (T, B, L, features), L = H W / patch^2 tokens, row by row.
    *Multiplies*: W on real pixels, once: it is the analog first layer. What leaves are spikes.
    *Raises*: ConfigError for a size below 1; ShapeError for a picture that no whole number of patches fills.

    >>> import torch
    >>> PatchSpikes(3, 8, patch=4, steps=2)(torch.zeros(1, 3, 8, 12)).shape
    torch.Size([2, 1, 6, 8])
    """

    def __init__(
        self,
        channels: int,
        features: int,
        *,
        patch: int,
        steps: int = 1,
        neuron: Callable[[], Neuron] = LIF,
    ) -> None:
        super().__init__()
        for name, size in (("channels", channels), ("features", features), ("patch", patch)):
            check_count("PatchSpikes", name, size)
        self.channels, self.patch = int(channels), int(patch)
        self.embed = nn.Conv2d(channels, features, patch, patch)
        self.repeat, self.fire = Direct(steps), neuron()

    @property
    def domain(self) -> Domain | None:
        """What the neuron emits."""
        return self.fire.domain

    def forward(self, x: Tensor) -> Tensor:
        """The tokens, step by step."""
        static_input("PatchSpikes", x)
        if x.dim() != 4 or x.shape[1] != self.channels or x.shape[2] % self.patch or x.shape[3] % self.patch:
            raise ShapeError(
                f"PatchSpikes got x of shape {tuple(x.shape)}; it takes (B, {self.channels}, H, W) with H and W "
                f"multiples of {self.patch}. Resize or pad the pictures."
            )
        return self.fire(self.repeat(self.embed(x).flatten(2).transpose(1, 2)))
