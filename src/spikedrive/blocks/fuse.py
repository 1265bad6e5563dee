"""The deployed form of a model: one layer between any two neurons."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.utils import parametrize

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
    membrane becomes one with a threshold a channel, where it writes nothing back, and a quantised weight a plain one
    of the same values. The given model is untouched.

    *Raises*: ConfigError for a model that is fused already.
    """
    if model.fused is not None:
        raise ConfigError(
            f"fuse got a {type(model).__name__} that is fused already ({model.fused}); it takes a model as trained. "
            "Fuse the original, or use this one as it is."
        )
    fused = copy.deepcopy(model).eval()
    _replace(fused, dense_separable)
    keep_parametrised(fused)
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


def keep_parametrised(model: nn.Module) -> list[str]:
    """Make each parametrised weight a plain one of the values that it has, in place; the paths of its layers."""
    changed = [path for path, module in model.named_modules() if parametrize.is_parametrized(module)]
    for path in changed:
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, _plain(model.get_submodule(path)))
    return changed


def _plain(layer: nn.Module) -> nn.Module:
    # `remove_parametrizations` changes a class that copies of the layer share, and would break them
    kind = type(layer).__bases__[0]
    values = {name: nn.Parameter(getattr(layer, name).detach()) for name in layer.parametrizations}  # type: ignore[union-attr]
    plain: nn.Module = object.__new__(kind)
    plain.__dict__.update(layer.__dict__)
    plain._parameters = {**values, **layer._parameters}
    plain._modules = {name: part for name, part in layer._modules.items() if name != "parametrizations"}
    return plain
