"""From the levels of a pyramid back to one map, and to a class for every pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks.conv import ConvBN
from spikedrive.blocks.neuron import NeuronLike, make_neuron
from spikedrive.errors import ConfigError, ShapeError
from spikedrive.neurons.neuron import check_count
from spikedrive.ops.fold import over_time


class PyramidDecoder(nn.Module):
    """All levels of a pyramid in one map at the resolution of the finest, as membrane potentials.

    *Equation*, from the coarsest level i = L to the finest i = 1:

        p_L = BN(W_L N(x_L)),   p_i = BN(W_i N(x_i)) + up(p_(i+1)),   y = p_1 + BN(W N(p_1))

    W_i are 1 x 1, W is 3 x 3, N a neuron, `up` repeats each value and cuts off what lies beyond the finer map.

    *Shapes*: the levels (T, B, C_i, H_i, W_i), finest first, as `forward_features` gives them -> (T, B, width, H_1,
    W_1); H_i is ceil(H_(i-1) / stride_i). `strides` are those of the pyramid's stages; the first one is not undone.
    *Multiplies*: none: each convolution meets spikes, potentials are added and repeated.
    *Raises*: ConfigError for lists of unequal length, ShapeError for another number of levels.
    *Source*: the top-down path of feature pyramid networks (arXiv 1612.03144), with neurons in front of the layers
    and nearest neighbours for it to stay additive.
    """

    def __init__(
        self, widths: Sequence[int], strides: Sequence[int], *, width: int = 32, neuron: NeuronLike = "LIF"
    ) -> None:
        super().__init__()
        if not widths or len(widths) != len(strides):
            raise ConfigError(
                f"PyramidDecoder got {len(widths)} widths and {len(strides)} strides; it takes one of each a level. "
                "Make the lists equally long."
            )
        check_count("PyramidDecoder", "width", width)
        self.strides = tuple(strides)
        self.neurons = nn.ModuleList(make_neuron(neuron) for _ in widths)
        self.laterals = nn.ModuleList(ConvBN(channels, width) for channels in widths)
        self.neuron = make_neuron(neuron)
        self.mix = ConvBN(width, width, 3)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """The potentials of the finest level."""
        if len(levels) != len(self.laterals):
            raise ShapeError(
                f"PyramidDecoder got {len(levels)} levels; it takes {len(self.laterals)}, finest first. Pass "
                "model.forward_features(x)."
            )
        *finer, coarsest = [
            over_time(lateral, neuron(x))
            for lateral, neuron, x in zip(self.laterals, self.neurons, levels, strict=True)
        ]
        y = coarsest
        for lateral, stride in zip(reversed(finer), reversed(self.strides[1:]), strict=True):
            y = lateral + _enlarge(y, stride)[..., : lateral.shape[-2], : lateral.shape[-1]]
        return y + over_time(self.mix, self.neuron(y))


class SegmentHead(nn.Module):
    """A class for every pixel of every frame.

    A `PyramidDecoder`, then a neuron and a 1 x 1 convolution that gives the logits of all stride x stride pixels
    under a position of the finest level at once; stride is that of the first stage.

    *Shapes*: the levels (T, B, C_i, H_i, W_i) of frames of `size` = (H, W) -> logits (T, B, K, H, W).
    *Multiplies*: none.
    *Raises*: ConfigError, ShapeError as `PyramidDecoder`.
    """

    def __init__(
        self,
        widths: Sequence[int],
        strides: Sequence[int],
        classes: int,
        *,
        width: int = 32,
        neuron: NeuronLike = "LIF",
    ) -> None:
        super().__init__()
        self.decoder = PyramidDecoder(widths, strides, width=width, neuron=neuron)
        self.neuron = make_neuron(neuron)
        self.stride = strides[0]
        self.classify = nn.Conv2d(width, classes * self.stride**2, 1)

    def forward(self, levels: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Logits of every frame, one map a class."""
        y = over_time(self.classify, self.neuron(self.decoder(levels)))
        # (T, B, K, s, s, h, w) -> (T, B, K, h s, w s)
        y = y.unflatten(2, (-1, self.stride, self.stride)).permute(0, 1, 2, 5, 3, 6, 4)
        return y.flatten(5, 6).flatten(3, 4)[..., : size[0], : size[1]]


def _enlarge(x: Tensor, factor: int) -> Tensor:
    """Each value `factor` x `factor` times."""
    if factor == 1:
        return x
    return over_time(lambda y: F.interpolate(y, scale_factor=float(factor), mode="nearest"), x)
