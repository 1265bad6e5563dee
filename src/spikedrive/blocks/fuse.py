"""The deployed form of a model: one layer between any two neurons."""

from __future__ import annotations

import copy

from torch import nn

from spikedrive.blocks.linear import LinearChain
from spikedrive.blocks.model import SpikingModel
from spikedrive.errors import ConfigError
from spikedrive.neurons import MPBNLIF


def fuse(model: SpikingModel, *, dense_separable: bool = False) -> SpikingModel:
    """An eval-mode copy in which every linear chain is one convolution or linear layer with a bias.

    No BatchNorm is left, RepConv is one dense k x k convolution, and neurons keep their module paths. The answers are
    those of `model.eval()`, exactly (computed in fp64, stored in the model's dtype). With `dense_separable` a
    depthwise convolution followed by a 1x1 one, without a neuron between them, becomes one dense convolution too,
    which costs additions and makes the original Meta-SpikeFormer multiplication-free. A neuron that normalises its
    membrane becomes one with a threshold a channel, where it writes nothing back. The given model is untouched.

    *Raises*: ConfigError for a model that is fused already.
    """
    if model.fused is not None:
        raise ConfigError(
            f"fuse got a {type(model).__name__} that is fused already ({model.fused}); it takes a model as trained. "
            "Fuse the original, or use this one as it is."
        )
    fused = copy.deepcopy(model).eval()
    _replace(fused, dense_separable)
    for parameter in fused.parameters():
        parameter.requires_grad_(False)
    fused.fused = {"dense_separable": dense_separable}
    return fused


def _replace(module: nn.Module, dense_separable: bool) -> None:
    for name, child in module.named_children():
        if isinstance(child, LinearChain):
            setattr(module, name, child.fused(dense_separable=dense_separable).eval())
        elif isinstance(child, MPBNLIF) and not child.write_back:
            setattr(module, name, child.fold().eval())
        else:
            _replace(child, dense_separable)
