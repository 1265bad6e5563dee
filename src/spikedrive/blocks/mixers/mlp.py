"""The channel mixers."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from spikedrive.blocks.conv import ConvBN, PositionNormConv
from spikedrive.blocks.linear import LayerScale
from spikedrive.blocks.neuron import NeuronLike, make_neuron
from spikedrive.errors import ConfigError
from spikedrive.ops.fold import over_time


class MLP(nn.Module):
    """neuron, conv C -> rC, BN, neuron, conv rC -> C, BN: the branch of a membrane shortcut.

    With `neuron_last` the first neuron stands at the end instead: the branch of a SEW shortcut, x being spikes.
    With `layer_scale` the branch ends in a learned gain a channel that starts there (`LayerScale`).
    With `inner_shortcut` (r = 1) the input is added after the first BN, too, and the branch returns both parts.

    *Shapes*: x (T, B, C, H, W) -> (T, B, C, H, W).
    *Multiplies*: none; both convolutions meet spikes, BatchNorm folds into their weights.
    *Raises*: ConfigError for `neuron_last` with `inner_shortcut`.
    *Source*: Spike-driven Transformer V1 and V2: `kernel_size` 1 with a bias in transformer blocks, 3 without in
    V2's convolution blocks; the inner shortcut is V1's code for a ratio of 1. Spikformer: `neuron_last`.
    """

    def __init__(
        self,
        channels: int,
        ratio: float = 4,
        *,
        kernel_size: int = 1,
        bias: bool = True,
        inner_shortcut: bool = False,
        neuron_last: bool = False,
        layer_scale: float | None = None,
        neuron: NeuronLike = "LIF",
    ) -> None:
        super().__init__()
        if neuron_last and inner_shortcut:
            raise ConfigError(
                "MLP got neuron_last=True and inner_shortcut=True; it takes one, as spikes and potentials do not add. "
                "Leave inner_shortcut out."
            )
        hidden = int(channels * ratio)
        self.in_neuron = nn.Identity() if neuron_last else make_neuron(neuron)
        self.expand = ConvBN(channels, hidden, kernel_size, bias=bias)
        self.mid_neuron = make_neuron(neuron)
        reduce = ConvBN(hidden, channels, kernel_size, bias=bias)
        self.reduce = reduce if layer_scale is None else LayerScale(reduce, channels, layer_scale)
        self.end_neuron = make_neuron(neuron) if neuron_last else nn.Identity()
        self.inner_shortcut = inner_shortcut

    def forward(self, x: Tensor) -> Tensor:
        """The branch, without its shortcut."""
        inner = over_time(self.expand, self.in_neuron(x))
        if not self.inner_shortcut:
            return self.end_neuron(over_time(self.reduce, self.mid_neuron(inner)))
        return inner + over_time(self.reduce, self.mid_neuron(x + inner))


class ChannelMixer(nn.Module):
    """1 x 1 conv C -> rC, BN, neuron, 1 x 1 conv rC -> C, BN: from spikes to potentials.

    With `positions`, the number H W of the map's, both BatchNorms have the positions for features, not the channels.

    *Shapes*: x (T, B, C, H, W) -> (T, B, C, H, W).
    *Multiplies*: none over channels; over positions, the gain of each, see `PositionNormConv`.
    *Source*: arXiv 2306.12465, its spiking channel block, over positions.
    """

    def __init__(
        self, channels: int, ratio: float = 3, *, positions: int | None = None, neuron: NeuronLike = "LIF"
    ) -> None:
        super().__init__()
        hidden = int(channels * ratio)
        layer = ConvBN if positions is None else partial(PositionNormConv, positions=positions)
        self.expand, self.reduce = layer(channels, hidden), layer(hidden, channels)
        self.neuron = make_neuron(neuron)

    def forward(self, x: Tensor) -> Tensor:
        """Potentials."""
        return over_time(self.reduce, self.neuron(over_time(self.expand, x)))
