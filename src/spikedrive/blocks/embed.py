"""From pixels to tokens, and from one resolution to the next."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks.conv import ChannelNorm, ConvBN, EveryStep, PatchConv
from spikedrive.blocks.neuron import NeuronLike, make_neuron
from spikedrive.errors import ConfigError, ShapeError
from spikedrive.ops.fold import over_time


class Downsample(nn.Module):
    """[neuron,] convolution with a stride, BN.

    *Shapes*: x (T, B, C, H, W) -> (T, B, C', ceil(H / stride), ceil(W / stride)).
    *Multiplies*: none behind a neuron; with `neuron=None` it is the analog first layer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 2,
        bias: bool = True,
        neuron: NeuronLike | None = "LIF",
    ) -> None:
        super().__init__()
        self.neuron = nn.Identity() if neuron is None else make_neuron(neuron)
        self.project = ConvBN(in_channels, out_channels, kernel_size, stride=stride, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Potentials at the lower resolution."""
        return over_time(self.project, self.neuron(x))


class PatchEmbed(nn.Module):
    """A convolution over patches that do not overlap, and its BatchNorm.

    *Shapes*: x (T, B, C, H, W) -> (T, B, C', floor(H / size), floor(W / size)).
    *Multiplies*: none where x are integers of a neuron; over pixels it is the analog first layer.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int, *, bias: bool = False) -> None:
        super().__init__()
        self.project = PatchConv(in_channels, out_channels, size, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Potentials of the patches."""
        return over_time(self.project, x)


class PatchEncoding(nn.Module):
    """Half the resolution by three convolutions, each of which the one before feeds through a neuron.

    *Equation*: n_i = BN(conv_i(x)) with stride 2, i = 1..3; n_2 += BN(conv(N(n_1))); n_3 += n_1 + BN(conv(N(n_2)));
    y = [n_1, n_2, n_3].
    *Shapes*: x (T, B, C, H, W) -> (T, B, C', ceil(H / 2), ceil(W / 2)); C' in three equal parts.
    *Multiplies*: none where x are integers of a neuron.
    *Raises*: ConfigError for channels that three does not divide.
    *Source*: arXiv 2306.12465, its spiking patch encoding.
    """

    def __init__(self, in_channels: int, out_channels: int, *, neuron: NeuronLike = "LIF") -> None:
        super().__init__()
        if out_channels < 3 or out_channels % 3:
            raise ConfigError(
                f"PatchEncoding got {out_channels} channels to split in three; it takes a multiple of 3. "
                f"Use {max(3, out_channels // 3 * 3)}."
            )
        width = out_channels // 3
        self.down = nn.ModuleList(ConvBN(in_channels, width, 3, stride=2) for _ in range(3))
        self.onward = nn.ModuleList(ConvBN(width, width, 3) for _ in range(2))
        self.neurons = nn.ModuleList(make_neuron(neuron) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Potentials at half the resolution."""
        first, second, third = (over_time(layer, x) for layer in self.down)
        second = second + over_time(self.onward[0], self.neurons[0](first))
        third = third + first + over_time(self.onward[1], self.neurons[1](second))
        return torch.cat([first, second, third], 2)


class PatchMerging(nn.Module):
    """Each 2 x 2 patch of C channels becomes one token of 2C: BatchNorm over its 4C values, then a linear layer.

    *Shapes*: x (T, B, C, H, W) -> (T, B, 2C, H / 2, W / 2); H and W even.
    *Multiplies*: none where x are integers of a neuron.
    *Raises*: ShapeError for an odd map.
    *Source*: Swin (arXiv 2103.14030), with BatchNorm as the Masked Spiking Transformer has it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = EveryStep(
            ChannelNorm(4 * channels), nn.Conv2d(4 * channels, 2 * channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Potentials at half the resolution."""
        if x.shape[3] % 2 or x.shape[4] % 2:
            raise ShapeError(
                f"PatchMerging got a map of {x.shape[3]} x {x.shape[4]}; it takes even sides. "
                "Change the picture's size."
            )
        # down first, then right
        corners = [x[..., i::2, j::2] for j in (0, 1) for i in (0, 1)]
        return self.reduce(torch.cat(corners, 2))


class PatchStem(nn.Module):
    """Four 3 x 3 convolutions with neurons and max-pools, and a position branch with a shortcut.

    `pooling` holds one digit for each of the four stages; 1 halves the resolution (3 x 3 maximum, stride 2), after
    the neuron in the first three stages and before it in the last. The shortcut adds potentials; with `neuron_last`
    every pool follows its neuron, the position branch ends with one, and the shortcut adds spikes.

    *Shapes*: x (T, B, C, H, W) -> (T, B, width, H', W'), H' = H / 2^(number of ones).
    *Multiplies*: the first convolution meets pixels and is the analog one; a maximum is a comparison.
    *Raises*: ConfigError for a width that 8 does not divide, or other `pooling`.
    *Source*: Spike-driven Transformer (arXiv 2307.01694), MS_SPS of its code, without its unused rpe_lif;
    `neuron_last` is the SPS of Spikformer (arXiv 2209.15425).
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        pooling: str = "1111",
        neuron_last: bool = False,
        neuron: NeuronLike = "LIF",
    ) -> None:
        super().__init__()
        if width < 8 or width % 8:
            raise ConfigError(
                f"PatchStem got width={width}; it takes a multiple of 8. Use {max(8, width // 8 * 8)}."
            )
        if len(pooling) != 4 or set(pooling) - {"0", "1"}:
            raise ConfigError(
                f"PatchStem got pooling={pooling!r}; it takes four digits 0 or 1. Use '1111' for 224 x 224."
            )
        widths = (in_channels, width // 8, width // 4, width // 2, width)
        self.pooling, self.neuron_last = pooling, neuron_last
        self.convs = nn.ModuleList(ConvBN(a, b, 3) for a, b in pairwise(widths))
        self.neurons = nn.ModuleList(make_neuron(neuron) for _ in range(4))
        self.position = ConvBN(width, width, 3)
        self.end_neuron = make_neuron(neuron) if neuron_last else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Membrane potentials of the tokens; with `neuron_last` integers 0..2."""
        return self.every_stage(x)[-1]

    def every_stage(self, x: Tensor) -> list[Tensor]:
        """The spikes behind each of the first three stages, then what `forward` gives."""
        stages = []
        for stage in range(3):
            x = self.neurons[stage](over_time(self.convs[stage], x))
            x = self._halve(x) if self.pooling[stage] == "1" else x
            stages.append(x)
        x = over_time(self.convs[3], x)
        x = self.neurons[3](x) if self.neuron_last else x
        x = self._halve(x) if self.pooling[3] == "1" else x
        s = x if self.neuron_last else self.neurons[3](x)
        return [*stages, x + self.end_neuron(over_time(self.position, s))]

    def _halve(self, x: Tensor) -> Tensor:
        return over_time(lambda y: F.max_pool2d(y, 3, 2, 1), x)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"pooling={self.pooling}, neuron_last={self.neuron_last}"
