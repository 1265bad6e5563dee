"""Linear chains: what stands between two neurons, and its exact form as one layer."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn


class LinearChain(nn.Module):
    """Layers without a neuron between them; in eval mode the whole is one linear map.

    `fuse` replaces each chain by what `fused` gives.
    """

    @abstractmethod
    def fused(self, *, dense_separable: bool) -> nn.Module:
        """The same map in eval mode, as convolutions or linear layers with a bias and without BatchNorm."""


def fold_batch_norm(weight: Tensor, bias: Tensor | None, bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of `bn(layer(x))` as one layer, in fp64.

    *Equation*: W' = g W, b' = g (b - mean) + beta, with g = gamma / sqrt(var + eps).
    *Shapes*: weight (out, ...), bias (out,) -> the same.
    """
    gain, shift = batch_norm_map(bn)
    bias = torch.zeros_like(shift) if bias is None else bias.double()
    return weight.double() * gain.view(-1, *[1] * (weight.dim() - 1)), bias * gain + shift


def batch_norm_map(bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """(gain, shift) with bn(x) = gain x + shift in eval mode, in fp64.

    *Shapes*: (C,), (C,).
    """
    assert bn.running_mean is not None and bn.running_var is not None  # every chain here tracks them
    gain = bn.weight.double() / torch.sqrt(bn.running_var.double() + bn.eps)
    return gain, bn.bias.double() - bn.running_mean.double() * gain


def conv_with_bias(weight: Tensor, bias: Tensor, like: nn.Conv2d) -> nn.Conv2d:
    """An `nn.Conv2d` of `weight` (out, in / groups, k, k) and `bias` (out,) with the geometry and dtype of `like`.

    A weight as wide as the input makes the convolution dense, whatever the groups of `like`.
    """
    out_channels, width, size, _ = weight.shape
    groups = like.groups if width * like.groups == like.in_channels else 1
    conv = nn.Conv2d(
        width * groups, out_channels, size, like.stride[0], int(like.padding[0]), groups=groups
    ).to(like.weight)  # fmt: skip
    with torch.no_grad():
        conv.weight.copy_(weight)
        if conv.bias is not None:
            conv.bias.copy_(bias)
    return conv


class LayerScale(LinearChain):
    """A linear chain with a learned gain for each output channel: the end of a branch onto a membrane shortcut.

    *Equation*: y = gain chain(x); `gain` starts small, so that a deep network begins near its shortcuts.
    *Shapes*: x (N, C, H, W) -> (N, C', H, W); gain (C',).
    *Multiplies*: one factor a channel, which `fused` folds into the weight.
    *Source*: CaiT (arXiv 2103.17239), equation 4; QSD-Transformer's and Spike-driven Transformer V3's code.
    """

    def __init__(self, chain: LinearChain, channels: int, initial: float = 1e-6) -> None:
        super().__init__()
        self.chain = chain
        self.gain = nn.Parameter(torch.full((channels,), float(initial)))

    def forward(self, x: Tensor) -> Tensor:
        """gain chain(x)."""
        return self.chain(x) * self.gain.view(-1, 1, 1)

    def fused(self, *, dense_separable: bool) -> nn.Conv2d:
        """The chain's convolution with the gain in its weight and bias."""
        conv = self.chain.fused(dense_separable=dense_separable)
        assert isinstance(conv, nn.Conv2d) and conv.bias is not None
        gain = self.gain.double()
        weight, bias = conv.weight.double() * gain.view(-1, 1, 1, 1), conv.bias.double() * gain
        return conv_with_bias(weight, bias, conv)


class NormPoolLinear(LinearChain):
    """BatchNorm, mean over positions, linear layer: a head on spikes.

    *Shapes*: x (N, C, H, W) -> (N, K).
    *Multiplies*: none where x are integers: BatchNorm and the mean's divisor fold into the weight.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """linear(mean(bn(x)))."""
        return self.linear(self.bn(x).mean((2, 3)))

    def fused(self, *, dense_separable: bool) -> nn.Module:
        """The mean, and one linear layer."""
        gain, shift = batch_norm_map(self.bn)
        weight = self.linear.weight.double()
        one = nn.Linear(weight.shape[1], weight.shape[0]).to(self.linear.weight)
        with torch.no_grad():
            one.weight.copy_(weight * gain)
            one.bias.copy_(self.linear.bias.double() + weight @ shift)
        return nn.Sequential(_MeanOverPositions(), one)


class _MeanOverPositions(nn.Module):
    """(N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class DistilledLinear(LinearChain):
    """Two linear heads on the same spikes: the labels' and the teacher's.

    *Shapes*: x (T, B, C) -> in training ((T, B, K), (T, B, K)), in eval their mean (T, B, K).
    *Multiplies*: the mean's factor 1/2 is a power of two; `fused` folds it into the weight.
    """

    def __init__(self, in_features: int, classes: int) -> None:
        super().__init__()
        self.label = nn.Linear(in_features, classes)
        self.teacher = nn.Linear(in_features, classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Both answers while training, their mean otherwise."""
        label, teacher = self.label(x), self.teacher(x)
        return (label, teacher) if self.training else (label + teacher) * 0.5

    def fused(self, *, dense_separable: bool) -> nn.Linear:
        """One linear layer with the mean of both."""
        one = nn.Linear(self.label.in_features, self.label.out_features).to(self.label.weight)
        with torch.no_grad():
            one.weight.copy_((self.label.weight.double() + self.teacher.weight.double()) / 2)
            one.bias.copy_((self.label.bias.double() + self.teacher.bias.double()) / 2)
        return one
