"""Where training starts: BatchNorms that spread a membrane over the levels of an integer neuron."""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

from spikedrive.blocks.conv import RepConv, SepConv
from spikedrive.blocks.embed import PatchEncoding
from spikedrive.blocks.linear import NormPoolLinear
from spikedrive.blocks.mixers import MLP, AxialMixer, ChannelMixer, SpaceTimeAttention, SpikeAttention
from spikedrive.errors import unknown_name
from spikedrive.neurons import Neuron

Init = Literal["released", "levels"]
"""The original's; or one that spreads the membrane over an integer neuron's levels (`spread_over_levels`)."""


def check_init(init: str) -> None:
    """Raise UnknownNameError unless `init` is accepted."""
    if init not in get_args(Init):
        raise unknown_name("initialisation", init, get_args(Init))


def initialise_pyramid(model: nn.Module, init: Init, *, gain: float = 2.0, shift: float = 1.0) -> None:
    """Start the weights of a Meta-SpikeFormer or one of its heirs, in place.

    "released": linear layers normal with deviation 0.02, cut at 2, and PyTorch's own for convolutions. "levels":
    convolutions normal with variance 1 / fan-in, and BatchNorms by `spread_over_levels` with `gain` and `shift`.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear) and init == "released":
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d) and init == "levels":
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
    if init == "levels":
        spread_over_levels(model, gain=gain, shift=shift)


def spread_over_levels(model: nn.Module, *, gain: float = 2.0, shift: float = 1.0) -> None:
    """Start each BatchNorm that feeds a neuron at `gain` and `shift`, in place.

    A membrane of mean 1 and deviation 2 meets all of 0..4; one of mean 0 and deviation 1 is rounded
    to 0 or 1 nearly everywhere, and learns slowly. BatchNorms that end a branch onto other potentials
    or feed a linear layer, and RepConv's inner one, start as the identity.
    """
    plain: set[nn.Module] = set()
    for module in model.modules():
        if isinstance(module, RepConv):
            plain.add(module.pad_bn)
        if isinstance(module, PatchEncoding):
            plain.update(m for m in module.onward.modules() if isinstance(m, nn.BatchNorm2d))
        last = isinstance(
            module,
            SepConv | MLP | SpikeAttention | SpaceTimeAttention | AxialMixer | ChannelMixer | NormPoolLinear,
        )
        if last and not isinstance(getattr(module, "end_neuron", None), Neuron):
            plain.add([m for m in module.modules() if isinstance(m, nn.BatchNorm2d)][-1])
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 1.0 if module in plain else gain)
            nn.init.constant_(module.bias, 0.0 if module in plain else shift)
