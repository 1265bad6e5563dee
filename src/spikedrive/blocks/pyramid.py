"""Pyramids: stages that each lower the resolution, then mix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks.embed import Downsample
from spikedrive.blocks.model import select_levels
from spikedrive.blocks.neuron import NeuronLike
from spikedrive.errors import ConfigError
from spikedrive.neurons.neuron import check_number
from spikedrive.ops.fold import over_time

MakeBlock = Callable[[int, int, float], nn.Module]
"""A block from the number of its stage, its width, and its rate of drop-path."""


class Stage(nn.Module):
    """Downsampling, then blocks.

    *Shapes*: x (T, B, C, H, W) -> (T, B, C', H', W').
    *Multiplies*: what its parts do.
    """

    def __init__(self, downsample: nn.Module, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """The potentials after the last block."""
        return self.blocks(self.downsample(x))


def pyramid_stages(
    widths: Sequence[int],
    depths: Sequence[int],
    strides: Sequence[int],
    *,
    in_channels: int,
    block: MakeBlock,
    stem_kernel: int = 7,
    bias: bool = True,
    drop_path: float = 0.0,
    neuron: NeuronLike = "LIF",
) -> nn.ModuleList:
    """One stage for each width, depth and stride; the first one's convolution meets pixels, so no neuron precedes it.

    The rate of drop-path grows from 0 at the first block to `drop_path` at the last.

    *Multiplies*: the first convolution.
    *Raises*: ConfigError for lists of unequal length, or empty ones; for a width or stride below 1 and a depth
    below 0.
    """
    if not widths or not len(widths) == len(depths) == len(strides):
        raise ConfigError(
            f"A pyramid got {len(widths)} widths, {len(depths)} depths, {len(strides)} strides; it takes one of each "
            "a stage. Make the lists equally long."
        )
    check_number("A pyramid", "depths", min(depths), low=0)
    stages, built = nn.ModuleList(), 0
    for i, (width, depth, stride) in enumerate(zip(widths, depths, strides, strict=True)):
        first = i == 0
        downsample = Downsample(
            in_channels if first else widths[i - 1], width, stem_kernel if first else 3, stride=stride, bias=bias,
            neuron=None if first else neuron,
        )  # fmt: skip
        rates = [drop_path * (built + j) / max(1, sum(depths) - 1) for j in range(depth)]
        stages.append(Stage(downsample, [block(i, width, rate) for rate in rates]))
        built += depth
    return stages


def pyramid_features(stages: nn.ModuleList, x: Tensor, levels: Sequence[int] | None) -> list[Tensor]:
    """The potentials after each asked stage, (T, B, C, H, W), finest first; all by default.

    *Raises*: ConfigError for a level that there is not.
    """
    chosen = select_levels(levels, len(stages))
    features = []
    for level, stage in enumerate(stages):
        if level > chosen[-1]:
            break
        x = stage(x)
        if level in chosen:
            features.append(x)
    return features


def enlarge_to(x: Tensor, size: Sequence[int]) -> Tensor:
    """The maps at another size, each place a copy of the nearest: spikes stay spikes.

    *Shapes*: x (T, B, C, H, W), size (H', W') -> (T, B, C, H', W').
    *Multiplies*: none.
    """
    return over_time(lambda y: F.interpolate(y, size=tuple(size), mode="nearest"), x)
