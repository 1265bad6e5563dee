"""Advanced spatial attention: two masks over time and channels, and a map over space for either part."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.errors import ShapeError
from spikedrive.neurons.neuron import check_count, check_number
from spikedrive.neurons.temporal_attention import check_steps
from spikedrive.state import Stateful


class SpatialAttention(Stateful):
    """Weigh the places of the important and of the other feature maps apart.

    *Equation*, with the maps x[t, c] over space and k = lam of their number:

        p = (mean + max) / 2 + a mean + b max over space, q = W_2 relu(W_1 p) along time
        (q = W p where reduction is 1)
        I = 1 where q is among the k largest channels of its step, or among the k largest steps of its
            channel, and not both; else 0
        f(z, share, conv) = sigmoid(conv([mean of z / share, max of z])), both over time and channels
        y = I x f(I x, lam, conv_1) + (1 - I) x f((1 - I) x, 1 - lam, conv_2)

    *Shapes*: x (T, B, C, H, W) -> the same, T = steps, C = channels.
    *Multiplies*: every value by the weight of its place, which depends on the input; two layers over time,
    two convolutions, two sigmoids. The audit names them.
    *Raises*: ConfigError for a size below 1 or a share outside 0..1; ShapeError for other steps or channels.
    *Source*: ASA-SNN (ICCV 2023), before `AttentionLIF`. Its masks leak over the batch: every sample gets
    all that any sample chose, so that an answer depends on who else is in the batch. That is
    `shared_masks=True`; by default each sample has its own.
    """

    def __init__(
        self, steps: int, channels: int, *, reduction: int = 4, lam: float = 0.5, shared_masks: bool = False
    ) -> None:
        super().__init__()
        check_count("SpatialAttention", "steps", steps)
        check_count("SpatialAttention", "channels", channels)
        check_count("SpatialAttention", "reduction", reduction)
        check_number("SpatialAttention", "lam", lam, above=0, high=0.99)
        self.steps, self.channels, self.lam, self.shared_masks = int(steps), int(channels), lam, shared_masks
        self.refuses_streaming = f"it chooses among its {self.steps} steps"
        hidden = max(1, self.steps // reduction)
        self.alpha, self.beta = nn.Parameter(torch.tensor([0.5])), nn.Parameter(torch.tensor([0.5]))
        last = nn.Linear(hidden, self.steps, bias=False)
        self.fc = (
            last
            if reduction == 1
            else nn.Sequential(nn.Linear(self.steps, hidden, bias=False), nn.ReLU(), last)
        )
        self.conv1 = nn.Conv2d(2, 1, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def rest(self, x: Float[Tensor, "T B C H W"]) -> None:
        """Nothing is carried."""
        return

    def scan(self, x: Float[Tensor, "T B C H W"], state: None) -> tuple[Float[Tensor, "T B C H W"], None]:
        """The weighed maps."""
        check_steps("SpatialAttention", x, self.steps)
        if x.dim() != 5 or x.shape[2] != self.channels:
            raise ShapeError(
                f"SpatialAttention got x of shape {tuple(x.shape)}; it takes ({self.steps}, B, {self.channels}, H, W). "
                "Give it feature maps of that many channels."
            )
        important = x * self.important(x)[..., None, None]
        rest = x - important
        return important * self._places(important, self.lam, self.conv1) + rest * self._places(
            rest, 1 - self.lam, self.conv2
        ), None

    def important(self, x: Float[Tensor, "T B C H W"]) -> Float[Tensor, "T B C"]:
        """1 for the maps that are chosen by one of the two masks alone."""
        mean, largest = x.mean((-2, -1)), x.amax((-2, -1))
        p = 0.5 * (mean + largest) + self.alpha * mean + self.beta * largest
        q = self.fc(p.movedim(0, -1)).movedim(-1, 0)
        chosen = self._chosen(q, -1) != self._chosen(q, 0)
        return chosen.to(x.dtype)

    def _chosen(self, q: Tensor, axis: int) -> Tensor:
        count = max(1, int(self.lam * q.shape[axis]))
        mask = torch.zeros_like(q, dtype=torch.bool).scatter(axis, q.topk(count, axis).indices, True)
        return mask.any(1, keepdim=True).expand_as(mask) if self.shared_masks else mask

    def _places(self, x: Tensor, share: float, conv: nn.Module) -> Tensor:
        seen = torch.stack([x.mean((0, 2)) / share, x.amax((0, 2))], 1)
        return conv(seen).sigmoid()[None]

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"steps={self.steps}, channels={self.channels}, lam={self.lam:g}"
