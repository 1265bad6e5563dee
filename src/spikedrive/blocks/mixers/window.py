"""Attention within shifted windows, by softmax, on masked spikes.

Suffixes: T steps, B batch, C channels, H height, W width, N windows, G heads, L tokens of a window, D channels of a
head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikedrive.blocks.neuron import NeuronLike, make_neuron
from spikedrive.errors import ConfigError, ShapeError
from spikedrive.neurons.neuron import check_count, check_number
from spikedrive.ops.fold import over_time


class SpikeMask(nn.Module):
    """Drop single spikes at random, in training and in eval mode alike, and scale none up.

    *Equation*: y = x where a uniform number exceeds `rate`, else 0; drawn for each value and step.
    *Shapes*: x (T, B, ...) -> the same.
    *Multiplies*: none.
    *Raises*: ConfigError for a rate outside 0..1.
    *Source*: random spike masking of the Masked Spiking Transformer (ICCV 2023).
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        check_number("SpikeMask", "rate", rate, low=0, high=1)
        self.rate = float(rate)

    def forward(self, x: Tensor) -> Tensor:
        """The spikes that are left."""
        return torch.where(torch.rand_like(x) > self.rate, x, 0.0) if self.rate else x

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"rate={self.rate:g}"


class WindowAttention(nn.Module):
    """Softmax attention within windows whose queries, keys, values and scores are spikes.

    *Equation*, per window and head, M a `SpikeMask`, R a learned bias for each relative position:

        a = M(N(scale M(N(q)) M(N(k))^T)) + R;  y = N(proj(N(softmax(a) N(v))))

    with scale = D^-1/2. With `shifted` the windows lie half a window further, round the edges, and tokens that do not
    touch in the picture do not see each other; a map no larger than the window is one window, unshifted.

    *Shapes*: s (T, B, C, H, W) spikes -> (T, B, C, H, W) spikes; `window` divides H and W.
    *Multiplies*: the softmax and its product with the values.
    *Raises*: ConfigError where heads do not divide the channels, and for a window below 1; ShapeError where the
    window does not divide the map.
    *Source*: Swin (arXiv 2103.14030); the Masked Spiking Transformer (ICCV 2023), as its code has it.
    """

    relative_position: Tensor

    def __init__(
        self, channels: int, heads: int, window: int, *, shifted: bool = False, mask_rate: float = 0.0,
        neuron: NeuronLike = "QCFS",
    ) -> None:  # fmt: skip
        super().__init__()
        if heads < 1 or channels % heads:
            raise ConfigError(
                f"WindowAttention got heads={heads} for {channels} channels; it takes a divisor. "
                "Change heads or width."
            )
        check_count("WindowAttention", "window", window)
        self.heads, self.window, self.shifted = heads, window, shifted
        self.scale = (channels // heads) ** -0.5
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.q_neuron, self.k_neuron, self.v_neuron = (make_neuron(neuron) for _ in range(3))
        self.score_neuron, self.out_neuron = make_neuron(neuron), make_neuron(neuron)
        self.mask = SpikeMask(mask_rate)
        self.position_bias = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.position_bias, std=0.02)
        self.register_buffer("relative_position", _relative_position(window), persistent=False)
        self.proj = nn.Conv2d(channels, channels, 1)
        self.end_neuron = make_neuron(neuron)

    def forward(self, s_TBCHW: Tensor) -> Tensor:
        """The branch, without its shortcut."""
        height, breadth = s_TBCHW.shape[3:]
        if height % self.window or breadth % self.window:
            raise ShapeError(
                f"WindowAttention got a map of {height} x {breadth}; it takes multiples of its window "
                f"{self.window}. Change the picture's size, or the window."
            )
        shift = self.window // 2 if self.shifted and min(height, breadth) > self.window else 0
        s_TBCHW = torch.roll(s_TBCHW, (-shift, -shift), (3, 4)) if shift else s_TBCHW
        q, k, v = (self._split(part) for part in over_time(self.qkv, s_TBCHW).chunk(3, 2))
        q, k = self.mask(self.q_neuron(q)), self.mask(self.k_neuron(k))
        a_TBNGLL = self.mask(self.score_neuron(q @ k.transpose(-1, -2) * self.scale))
        tokens = self.window**2
        bias = self.position_bias[self.relative_position.flatten()].view(tokens, tokens, self.heads)
        a_TBNGLL = a_TBNGLL + bias.permute(2, 0, 1)
        if shift:
            a_TBNGLL = a_TBNGLL + self._apart(height, breadth, shift, a_TBNGLL)
        z_TBNGLD = a_TBNGLL.softmax(-1) @ self.v_neuron(v)
        z_TBCHW = self.out_neuron(self._merge(z_TBNGLD, height, breadth))
        y_TBCHW = self.end_neuron(over_time(self.proj, z_TBCHW))
        return torch.roll(y_TBCHW, (shift, shift), (3, 4)) if shift else y_TBCHW

    def _split(self, x_TBCHW: Tensor) -> Tensor:
        w = self.window
        x = x_TBCHW.unflatten(4, (-1, w)).unflatten(3, (-1, w)).unflatten(2, (self.heads, -1))
        # T B G D n w m w -> T B (n m) G (w w) D
        return x.permute(0, 1, 4, 6, 2, 5, 7, 3).flatten(5, 6).flatten(2, 3)

    def _merge(self, z_TBNGLD: Tensor, height: int, breadth: int) -> Tensor:
        w = self.window
        z = z_TBNGLD.unflatten(4, (w, w)).unflatten(2, (height // w, breadth // w))
        return z.permute(0, 1, 4, 7, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)

    def _apart(self, height: int, breadth: int, shift: int, like: Tensor) -> Tensor:
        """-100 between tokens of a window that came from opposite edges, (N, 1, L, L)."""
        w = self.window
        # three bands a side: whole windows, what the last window keeps, and what was rolled round
        rows, columns = (
            (torch.arange(n, device=like.device) >= n - w).long()
            + (torch.arange(n, device=like.device) >= n - shift)
            for n in (height, breadth)
        )
        region = rows[:, None] * 3 + columns
        region = region.unflatten(1, (-1, w)).unflatten(0, (-1, w)).transpose(1, 2).flatten(2).flatten(0, 1)
        return ((region[:, :, None] != region[:, None]).to(like.dtype) * -100.0).unsqueeze(1)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"heads={self.heads}, window={self.window}, shifted={self.shifted}"


def _relative_position(window: int) -> Tensor:
    """(L, L), the row of the table of biases for each pair of tokens."""
    row, column = torch.arange(window**2) // window, torch.arange(window**2) % window
    down, right = row[:, None] - row + window - 1, column[:, None] - column + window - 1
    return down * (2 * window - 1) + right
