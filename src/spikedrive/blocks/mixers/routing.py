"""Two cameras that meet in one of three ways, chosen for every frame."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks.conv import ConvBN
from spikedrive.errors import unknown_name
from spikedrive.ops.fold import over_time

Route = Literal["hard", "soft"]
"""Whether a frame takes one way, or a mixture of all three."""


class RoutedFusion(nn.Module):
    """The features of two cameras, each frame's by the way that a small network chooses from its mean.

    *Equation*, for camera a with b the other:

        specific       a
        discriminative a - a b
        complementary  a * g_a, [g_a, g_b] = sigmoid(BN(W [a, b])), W a 1 x 1 convolution
        y_a = sum_i p_i way_i, p from the mean of a over its places by three linear layers, with LeakyReLU (0.1) and
        BatchNorm behind the first two

    Route "hard": p is 1 for one way; while training that is drawn by Gumbel-softmax, afterwards the likeliest. Route
    "soft": p is the softmax.

    *Shapes*: a, b (T, B, C, H, W) -> the same two.
    *Raises*: UnknownNameError for another route.
    *Multiplies*: all of it.
    *Source*: MMHCO (arXiv 2504.05830), its policy routing, which has those three names. **Where we differ**: there the
    way is drawn after training too, so that the same clip gets several answers; "soft" is ours.
    """

    def __init__(self, channels: int, *, route: Route = "hard", policy: tuple[int, int] = (256, 32)) -> None:
        super().__init__()
        if route not in get_args(Route):
            raise unknown_name("route", route, get_args(Route))
        self.route = route
        first, second = policy
        self.policy = nn.Sequential(
            nn.Linear(channels, first), nn.LeakyReLU(0.1), nn.BatchNorm1d(first),
            nn.Linear(first, second), nn.LeakyReLU(0.1), nn.BatchNorm1d(second),
            nn.Linear(second, 3),
        )  # fmt: skip
        self.weigh = ConvBN(2 * channels, 2 * channels, bias=True)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Both, each with what the other gives it."""
        common, gates = a * b, over_time(self.weigh, torch.cat([a, b], 2)).sigmoid().chunk(2, 2)
        # as more samples of one batch, so that both share the statistics of the policy
        x = torch.cat([a, b], 1)
        ways = (x, x - torch.cat([common, common], 1), x * torch.cat(gates, 1))
        shares = self._shares(over_time(self.policy, x.mean((3, 4))))[..., None, None, None].unbind(2)
        first, second, third = (way * share for way, share in zip(ways, shares, strict=True))
        a, b = (first + second + third).unflatten(1, (2, -1)).unbind(1)
        return a, b

    def _shares(self, logits: Tensor) -> Tensor:
        """How much of each way a frame takes, (T, B, 3)."""
        if self.route == "soft":
            return logits.softmax(-1)
        if self.training:
            return F.gumbel_softmax(logits, hard=True)
        return F.one_hot(logits.argmax(-1), 3).to(logits.dtype)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"route={self.route}"
