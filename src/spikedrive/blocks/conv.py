"""Convolutions: with BatchNorm, re-parameterised, separable, and with attention over their potentials."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks.linear import LinearChain, batch_norm_map, conv_with_bias, fold_batch_norm
from spikedrive.blocks.neuron import NeuronLike, make_neuron
from spikedrive.errors import ConfigError, ShapeError
from spikedrive.neurons.neuron import check_count
from spikedrive.ops.fold import over_time


class EveryStep(nn.Sequential):
    """Layers without a neuron, applied to every step alike.

    *Shapes*: x (T, B, C, H, W) -> (T, B, C', H', W').
    *Multiplies*: what its layers do.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The layers, one after another."""
        return over_time(super().forward, input)


class ConvBN(LinearChain):
    """A convolution and its BatchNorm.

    *Shapes*: x (N, C, H, W) -> (N, C', H', W').
    *Multiplies*: none where x are integers of a neuron; BatchNorm folds into the weight, exactly (`fused`).
    *Raises*: ConfigError for an even kernel, and for channels or a stride below 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        _check_odd("ConvBN", kernel_size)
        for key, value in (("in_channels", in_channels), ("out_channels", out_channels), ("stride", stride)):
            check_count("ConvBN", key, value)
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=bias
        )
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """bn(conv(x))."""
        return self.bn(self.conv(x))

    def fused(self, *, dense_separable: bool) -> nn.Conv2d:
        """One convolution with a bias."""
        return conv_with_bias(*fold_batch_norm(self.conv.weight, self.conv.bias, self.bn), self.conv)


class PatchConv(LinearChain):
    """A convolution over patches of `size` x `size` that do not overlap, and its BatchNorm.

    *Shapes*: x (N, C, H, W) -> (N, C', floor(H / size), floor(W / size)).
    *Multiplies*: none where x are integers of a neuron.
    *Raises*: ShapeError for a map smaller than one patch.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int, *, bias: bool = False) -> None:
        super().__init__()
        self.size = size
        self.conv = nn.Conv2d(in_channels, out_channels, size, size, bias=bias)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """bn(conv(x))."""
        if min(x.shape[-2:]) < self.size:
            raise ShapeError(
                f"PatchConv got a map of {x.shape[-2]} x {x.shape[-1]}; it takes at least one patch of {self.size} x "
                f"{self.size}. Enlarge the picture."
            )
        return self.bn(self.conv(x))

    def fused(self, *, dense_separable: bool) -> nn.Conv2d:
        """One convolution with a bias."""
        return conv_with_bias(*fold_batch_norm(self.conv.weight, self.conv.bias, self.bn), self.conv)


class ChannelNorm(LinearChain):
    """A BatchNorm by itself, between two neurons.

    *Shapes*: x (N, C, H, W) -> the same.
    *Multiplies*: none where x are integers of a neuron: `fused` is a depthwise 1 x 1 convolution.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """bn(x)."""
        return self.bn(x)

    def fused(self, *, dense_separable: bool) -> nn.Conv2d:
        """One weight and one bias a channel."""
        gain, shift = batch_norm_map(self.bn)
        like = nn.Conv2d(len(gain), len(gain), 1, groups=len(gain)).to(self.bn.weight)
        return conv_with_bias(gain.view(-1, 1, 1, 1), shift, like)


class PositionNormConv(LinearChain):
    """A 1 x 1 convolution and a BatchNorm whose features are the positions of the map.

    *Equation*: y_cl = g_l (W x + b)_cl + h_l at position l of H W, with gain g and shift h of the BatchNorm.
    *Shapes*: x (N, C, H, W) -> (N, C', H, W); `positions` is H W, so that the size of the map is fixed.
    *Multiplies*: the gain of a position stands behind the convolution, on real values, and folds into no weight that
    the positions share.
    *Source*: the spiking channel block of arXiv 2306.12465, as its code has it.
    """

    def __init__(self, in_channels: int, out_channels: int, positions: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)
        self.bn = nn.BatchNorm2d(positions)

    def forward(self, x: Tensor) -> Tensor:
        """The convolution, normalised over samples and channels at each position."""
        y = self.conv(x)
        return self.bn(y.flatten(2).transpose(1, 2).unsqueeze(3)).squeeze(3).transpose(1, 2).view_as(y)

    def fused(self, *, dense_separable: bool) -> nn.Module:
        """The convolution, and one gain and one shift a position."""
        return nn.Sequential(
            copy.deepcopy(self.conv), _PositionMap(*batch_norm_map(self.bn)).to(self.conv.weight)
        )


class _PositionMap(nn.Module):
    """gain x + shift, one of each a position."""

    def __init__(self, gain: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.gain, self.shift = nn.Parameter(gain), nn.Parameter(shift)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain.view(x.shape[2:]) + self.shift.view(x.shape[2:])


class RepConv(LinearChain):
    """A k x k convolution that trains as 1x1, depthwise k x k and 1x1 with BatchNorms.

    *Equation*: bn2(W2 D pad(bn1(W1 x))), then `outer_bn` where asked; D is depthwise and `pad` writes what bn1
    gives for a zero input, p = beta - mean gamma / sqrt(var + eps), so that zero padding of x is the same.
    Computed as D pad0(bn1(W1 x) - p) + p sum(D), which needs no padded copy.

    *Shapes*: x (N, C, H, W) -> (N, C', H, W).
    *Multiplies*: real values between its three convolutions; none once `fused` into one k x k convolution, exactly.
    *Source*: Spike-driven Transformer V2 (arXiv 2404.03663), BNAndPadLayer and RepConv of its code. p is a constant
    in the backward pass and takes the running statistics in training too, those after the batch.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, *, outer_bn: bool = True
    ) -> None:
        super().__init__()
        _check_odd("RepConv", kernel_size)
        self.reduce = nn.Conv2d(in_channels, in_channels, 1, bias=False)
        self.pad_bn = nn.BatchNorm2d(in_channels)
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, kernel_size, padding=kernel_size // 2, groups=in_channels, bias=False
        )
        self.expand = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.outer_bn = nn.BatchNorm2d(out_channels) if outer_bn else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """The chain, trainable."""
        bn, conv = self.pad_bn, self.depthwise
        y = bn(self.reduce(x))
        assert bn.running_mean is not None and bn.running_var is not None
        # `no_grad` would say the same, and cut an exported graph into pieces
        pad = (
            (bn.bias - bn.running_mean * bn.weight / torch.sqrt(bn.running_var + bn.eps)).detach().to(y.dtype)
        )
        # read once: a quantised weight is computed at every reading
        weight = conv.weight
        taps = weight.sum((1, 2, 3))
        # a constant that the next BatchNorm subtracts again while it trains, so that its gradient is zero
        taps = taps.detach() if self.bn.training else taps
        y = F.conv2d(y - pad.view(-1, 1, 1), weight, pad * taps, padding=conv.padding, groups=conv.groups)
        return self.outer_bn(self.bn(self.expand(y)))

    def fused(self, *, dense_separable: bool) -> nn.Conv2d:
        """One dense k x k convolution with a bias and zero padding."""
        gain, shift = batch_norm_map(self.pad_bn)
        first, depthwise = self.reduce.weight.double()[:, :, 0, 0], self.depthwise.weight.double()[:, 0]
        last = self.expand.weight.double()[:, :, 0, 0]
        weight = torch.einsum("oc,cyx,ci->oiyx", last, depthwise, gain[:, None] * first)
        bias = last @ (depthwise.sum((1, 2)) * shift)
        weight, bias = fold_batch_norm(weight, bias, self.bn)
        if isinstance(self.outer_bn, nn.BatchNorm2d):
            weight, bias = fold_batch_norm(weight, bias, self.outer_bn)
        return conv_with_bias(weight, bias, self.depthwise)


class RepPointwise(LinearChain):
    """A 1 x 1 convolution that trains as two, each with a BatchNorm, and no neuron between them.

    *Equation*: bn2(W2 bn1(W1 x)), then `outer_bn` where asked; the hidden width is int(in_channels ratio).
    *Shapes*: x (N, C, H, W) -> (N, C', H, W).
    *Multiplies*: real values between its two convolutions; none once `fused` into one 1 x 1 convolution, exactly.
    *Source*: Spike-driven Transformer V3 (arXiv 2411.16061), RepConv (ratio 1.5) and RepConv2 (ratio 1) of the large
    models' code.
    """

    def __init__(
        self, in_channels: int, out_channels: int, ratio: float = 1.5, *, outer_bn: bool = True
    ) -> None:
        super().__init__()
        hidden = int(in_channels * ratio)
        self.reduce = ConvBN(in_channels, hidden)
        self.expand = ConvBN(hidden, out_channels)
        self.outer_bn = nn.BatchNorm2d(out_channels) if outer_bn else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """The chain, trainable."""
        return self.outer_bn(self.expand(self.reduce(x)))

    def fused(self, *, dense_separable: bool) -> nn.Conv2d:
        """One 1 x 1 convolution with a bias."""
        first_weight, first_bias = fold_batch_norm(self.reduce.conv.weight, None, self.reduce.bn)
        weight, bias = fold_batch_norm(self.expand.conv.weight, None, self.expand.bn)
        bias = bias + weight[:, :, 0, 0] @ first_bias
        weight = torch.einsum("om,miyx->oiyx", weight[:, :, 0, 0], first_weight)
        if isinstance(self.outer_bn, nn.BatchNorm2d):
            weight, bias = fold_batch_norm(weight, bias, self.outer_bn)
        return conv_with_bias(weight, bias, self.reduce.conv)


class DepthwisePointwise(LinearChain):
    """A depthwise convolution and a 1x1 convolution with BatchNorm, and no neuron between them.

    *Shapes*: x (N, C, H, W) -> (N, C', H, W).
    *Multiplies*: the 1x1 convolution meets real values. `fused(dense_separable=True)` gives one dense k x k
    convolution, exactly, which meets only spikes.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        _check_odd("DepthwisePointwise", kernel_size)
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, kernel_size, padding=kernel_size // 2, groups=in_channels, bias=False
        )
        self.pointwise = ConvBN(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """pointwise(depthwise(x))."""
        return self.pointwise(self.depthwise(x))

    def fused(self, *, dense_separable: bool) -> nn.Module:
        """Two convolutions, or one dense one."""
        pointwise = self.pointwise.fused(dense_separable=dense_separable)
        if not dense_separable:
            return nn.Sequential(self.depthwise, pointwise)
        assert pointwise.bias is not None
        weight = torch.einsum(
            "oc,cyx->ocyx", pointwise.weight.double()[:, :, 0, 0], self.depthwise.weight.double()[:, 0]
        )
        return conv_with_bias(weight, pointwise.bias, self.depthwise)


class SepConv(nn.Module):
    """An inverted separable convolution on spikes: the branch of a membrane shortcut.

    neuron, 1x1 C -> rC, BN, neuron, depthwise k x k, [BN, neuron,] 1x1 rC -> C, BN.

    *Shapes*: x (T, B, C, H, W) -> (T, B, C, H, W).
    *Multiplies*: none with `spiking=True`. As released (`spiking=False`, no neuron after the depthwise
    convolution) the last 1x1 meets real values, until `fuse(model, dense_separable=True)`.
    *Source*: Spike-driven Transformer V2 (`spiking=False`, k = 7, r = 2); V3's base has the third neuron.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 7,
        ratio: float = 2,
        neuron: NeuronLike = "LIF",
        spiking: bool = False,
    ) -> None:
        super().__init__()
        hidden = int(channels * ratio)
        self.in_neuron = make_neuron(neuron)
        self.expand = ConvBN(channels, hidden)
        self.mid_neuron = make_neuron(neuron)
        if spiking:
            self.mix: LinearChain = ConvBN(hidden, hidden, kernel_size, groups=hidden)
            self.out_neuron = make_neuron(neuron)
            self.reduce = ConvBN(hidden, channels)
        else:
            self.mix = DepthwisePointwise(hidden, channels, kernel_size)
        self.spiking = spiking

    def forward(self, x: Tensor) -> Tensor:
        """The branch, without its shortcut."""
        x = over_time(self.expand, self.in_neuron(x))
        x = over_time(self.mix, self.mid_neuron(x))
        return over_time(self.reduce, self.out_neuron(x)) if self.spiking else x


class Attended(nn.Module):
    """A projection, attention over its potentials, and a neuron; `nn.Identity()` is no attention.

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Multiplies*: what its projection and its attention do.
    *Source*: the layers ConvAttLIF and AttLIF of TA-SNN (ICCV 2021) and ASA-SNN (ICCV 2023).
    """

    def __init__(self, project: nn.Module, attention: nn.Module, neuron: NeuronLike) -> None:
        super().__init__()
        self.project = project
        self.attention = attention
        self.neuron = make_neuron(neuron)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes."""
        return self.neuron(self.attention(self.project(x)))


def attended_conv(
    in_channels: int, width: int, *, pool: int, attention: nn.Module | None = None, neuron: NeuronLike = "LIF"
) -> Attended:
    """A 3 x 3 convolution with BatchNorm, the average over `pool` x `pool`, attention, and a neuron.

    *Shapes*: x (T, B, C, H, W) -> (T, B, width, floor(H / pool), floor(W / pool)).
    *Multiplies*: none where x are integers of a neuron and there is no attention.
    *Raises*: ConfigError for a pool below 1.
    """
    check_count("attended_conv", "pool", pool)
    project = EveryStep(ConvBN(in_channels, width, 3, bias=True))
    if pool > 1:
        project.append(nn.AvgPool2d(pool))
    return Attended(project, nn.Identity() if attention is None else attention, neuron)


def _check_odd(owner: str, kernel_size: int) -> None:
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ConfigError(
            f"{owner} got kernel_size={kernel_size}; it takes an odd number, so that the map keeps its size. Use 3."
        )
