"""Tokens mixed along rows and along columns: the spiking token block."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikedrive.blocks.conv import ChannelNorm, ConvBN
from spikedrive.blocks.neuron import NeuronLike, make_neuron
from spikedrive.ops.fold import over_time


class AxialMixer(nn.Module):
    """Linear layers over the height and over the width, joined by a 1 x 1 convolution.

    *Equation*: y = BN(W [s', N(BN(W_h s)), N(BN(W_w s))]); W_h mixes the H values of a column of the map, W_w the W
    values of a row, in every channel alike; s' = s, or N(BN(s)) with `norm_identity`.

    *Shapes*: x (T, B, C, H, W) -> (T, B, C, H, W), of the fixed `size` (H, W).
    *Multiplies*: none where x are spikes; every BatchNorm folds into the weight in front of it.
    *Source*: arXiv 2306.12465, its spiking token block; `norm_identity` is in its code for the model without spiking
    patch encoding.
    """

    def __init__(
        self, channels: int, size: tuple[int, int], *, norm_identity: bool = False, neuron: NeuronLike = "LIF"
    ) -> None:
        super().__init__()
        height, width = size
        self.norm_identity = norm_identity
        if norm_identity:
            self.identity, self.identity_neuron = ChannelNorm(channels), make_neuron(neuron)
        self.along_height, self.along_width = (ConvBN(n, n, bias=True) for n in (height, width))
        self.height_neuron, self.width_neuron = make_neuron(neuron), make_neuron(neuron)
        self.join = ConvBN(3 * channels, channels)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """Potentials."""
        same = self.identity_neuron(over_time(self.identity, x_TBCHW)) if self.norm_identity else x_TBCHW
        high = self.height_neuron(_as_channels(self.along_height, x_TBCHW, 2))
        wide = self.width_neuron(_as_channels(self.along_width, x_TBCHW, 3))
        return over_time(self.join, torch.cat([same, high, wide], 2))


def _as_channels(layer: nn.Module, x: Tensor, axis: int) -> Tensor:
    """The layer over (T B, ...) with that axis in the place of the channels."""
    return over_time(lambda y: layer(y.transpose(1, axis)).transpose(1, axis), x)
