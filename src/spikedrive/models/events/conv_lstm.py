"""A convolutional LSTM: the dense recurrent cell that spiking networks are compared with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikedrive.errors import ConfigError
from spikedrive.state import Stateful


class ConvLSTM(Stateful):
    """A long short-term memory at every place of a map.

    *Equation*: i, f, o, g = W * [x_t, h_(t-1)] + b; c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g);
    h_t = sigmoid(o) tanh(c_t), from h = c = 0. The forget gate's bias begins at 1.
    *Shapes*: x (T, B, C, H, W) -> h (T, B, C, H, W).
    *Multiplies*: everything: it is no spiking layer.
    *Raises*: ConfigError for an even `kernel_size`.
    *Source*: Shi et al., arXiv 1506.04214, without its peepholes.
    """

    def __init__(self, channels: int, kernel_size: int = 1) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ConfigError(f"ConvLSTM got kernel_size={kernel_size}; it takes an odd number. Use 1 or 3.")
        self.gates = nn.Conv2d(2 * channels, 4 * channels, kernel_size, padding=kernel_size // 2)
        nn.init.constant_(self.gates.bias[channels : 2 * channels], 1.0)  # pyright: ignore[reportOptionalSubscript]

    def rest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Zeros."""
        return torch.zeros_like(x[0]), torch.zeros_like(x[0])

    def scan(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """h of every step, and the last (h, c), each (B, C, H, W)."""
        hidden, cell = state
        outputs = []
        for step in x:
            entry, keep, show, new = self.gates(torch.cat([step, hidden], 1)).chunk(4, 1)
            cell = keep.sigmoid() * cell + entry.sigmoid() * new.tanh()
            hidden = show.sigmoid() * cell.tanh()
            outputs.append(hidden)
        return torch.stack(outputs), (hidden, cell)
