"""Exact repairs: each puts a constant or a layer into its neighbour, in place, and says what it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.blocks import SpikeAttention, TdBN
from spikedrive.blocks.linear import LinearChain
from spikedrive.neurons import IF, ILIF, LIF, MPBNLIF, PLIF
from spikedrive.transforms.neighbours import LINEAR, Neighbours


@dataclass(frozen=True)
class Change:
    """One repair: where, and what was done in words."""

    module: str
    what: str


Look = Callable[[nn.Module], Neighbours]
Repair = Callable[[nn.Module, Look], list[Change]]


def replace_module(model: nn.Module, path: str, new: nn.Module) -> None:
    """Put `new` in the place of the module at `path`."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, new)


def fuse_chains(model: nn.Module, _look: Look) -> list[Change]:
    """Each chain of layers between two neurons (ConvBN, RepConv, depthwise and pointwise) as one layer."""
    found = []
    inside: tuple[str, ...] = ()
    for path, module in list(model.named_modules()):
        if not path or path.startswith(inside):
            continue
        if isinstance(module, LinearChain):
            replace_module(model, path, module.fused(dense_separable=True).eval())
            inside = (*inside, path + ".")
            found.append(Change(path, f"{type(module).__name__} became one layer with a bias"))
        elif isinstance(module, MPBNLIF) and not module.write_back:
            replace_module(model, path, module.fold().eval())
            found.append(Change(path, "the normalisation of the membrane became a threshold a channel"))
    return found


@torch.no_grad()
def fold_batch_norms(model: nn.Module, look: Look) -> list[Change]:
    """Each BatchNorm right behind a layer into its weight and bias."""
    if not any(isinstance(m, (nn.modules.batchnorm._BatchNorm, TdBN)) for m in model.modules()):
        return []
    near, found = look(model), []
    for before, node in near.pairs():
        layer, norm = near.linear(before), near.module(node)
        if isinstance(norm, TdBN):
            norm = norm.as_batch_norm()
        if (
            not isinstance(norm, nn.modules.batchnorm._BatchNorm)
            or norm.running_mean is None
            or layer is None
        ):
            continue
        if isinstance(layer, nn.Linear) and len(before.shape) != 2:
            # its channels stand last, those of the normalisation second
            continue
        assert norm.running_var is not None
        gain = 1 / torch.sqrt(norm.running_var.double() + norm.eps)
        gain = gain if norm.weight is None else gain * norm.weight.double()
        shift = -norm.running_mean.double() * gain + (0 if norm.bias is None else norm.bias.double())
        _scale_outputs(layer, gain, shift)
        replace_module(model, node.module, nn.Identity())
        found.append(Change(node.module, f"BatchNorm folded into {before.module}"))
    return found


@torch.no_grad()
def fold_constants(model: nn.Module, look: Look) -> list[Change]:
    """Each learned constant that multiplies a layer's output into its weight and bias; it is one from then on."""
    parameters = {
        f"{path}.{name}".lstrip("."): constant
        for path, module in model.named_modules()
        if not isinstance(module, LINEAR)
        for name, constant in module.named_parameters(recurse=False)
        if bool((constant != 1).any())
    }
    if not parameters:
        return []
    near, found = look(model), []
    for before, node in near.pairs():
        layer = near.linear(before)
        if node.op != "aten.mul.Tensor" or layer is None or len(node.refs) != 2:
            continue
        if node.shape != before.shape:
            # the constant makes more of what the layer gives
            continue
        other = near.graph[node.refs[1]]
        constant = parameters.get(other.target) if other.op == "constant" else None
        if constant is None or len(other.users) != 1:
            continue
        axis = -1 if isinstance(layer, nn.Linear) else -layer.weight.dim() + 1  # type: ignore[operator]
        sizes = [1] * (len(before.shape) - constant.dim()) + list(constant.shape)
        across = [size for i, size in enumerate(sizes) if i != axis % len(sizes)]
        if any(size != 1 for size in across):
            continue
        gain = constant.double().flatten()
        _scale_outputs(layer, gain, torch.zeros_like(gain))
        constant.fill_(1)
        found.append(Change(other.target, f"the constant a channel folded into {before.module}"))
    return found


def _scale_outputs(layer: nn.Module, gain: Tensor, shift: Tensor) -> None:
    weight: Tensor = layer.weight  # type: ignore[assignment]
    bias = _bias(layer) * gain + shift
    weight.copy_(weight.double() * gain.view(-1, *[1] * (weight.dim() - 1)))
    if layer.bias is not None or bool(bias.any()):
        layer.bias = nn.Parameter(bias.to(weight), requires_grad=False)


@torch.no_grad()
def merge_layers(model: nn.Module, look: Look) -> list[Change]:
    """Each two layers in a row of which one is 1 x 1 (or both linear) as one dense layer."""
    near, found = look(model), []
    taken: set[str] = set()
    for before, node in near.pairs():
        first, second = near.linear(before), near.linear(node)
        if first is None or second is None or {before.module, node.module} & taken:
            continue
        merged = _merged(first, second)
        if merged is None:
            continue
        replace_module(model, before.module, merged)
        replace_module(model, node.module, nn.Identity())
        taken |= {before.module, node.module}
        sizes = [sum(p.numel() for p in m.parameters()) for m in (first, second, merged)]
        weights = f"{sizes[0] + sizes[1]} weights became {sizes[2]}"
        found.append(Change(node.module, f"merged into {before.module}, {weights}"))
    return found


def _merged(first: nn.Module, second: nn.Module) -> nn.Module | None:
    if isinstance(first, nn.Linear) and isinstance(second, nn.Linear):
        one: nn.Module = nn.Linear(first.in_features, second.out_features)
        weight = second.weight.double() @ first.weight.double()
        bias = second.weight.double() @ _bias(first) + _bias(second)
    elif type(first) is type(second) and isinstance(first, (nn.Conv1d, nn.Conv2d)):
        assert isinstance(second, (nn.Conv1d, nn.Conv2d))
        if _is_pointwise(second):
            like = first
            weight = torch.einsum("om,mi...->oi...", _dense(second).flatten(1), _dense(first))
            bias = _dense(second).flatten(1) @ _bias(first) + _bias(second)
        elif _is_pointwise(first) and (first.bias is None or not any(second.padding)):  # type: ignore[arg-type]
            like = second
            weight = torch.einsum("om...,mi->oi...", _dense(second), _dense(first).flatten(1))
            bias = _dense(second).flatten(2).sum(2) @ _bias(first) + _bias(second)
        else:
            return None
        geometry: Any = (like.kernel_size, like.stride, like.padding, like.dilation)
        one = type(first)(first.in_channels, second.out_channels, *geometry)
    else:
        return None
    one = one.to(first.weight).requires_grad_(False).eval()  # type: ignore[arg-type]
    one.weight.copy_(weight)  # type: ignore[operator]
    one.bias.copy_(bias)  # type: ignore[operator]
    return one


def _bias(layer: nn.Module) -> Tensor:
    weight: Tensor = layer.weight  # type: ignore[assignment]
    none = torch.zeros(weight.shape[0], dtype=torch.float64, device=weight.device)
    return none if layer.bias is None else layer.bias.double()  # type: ignore[operator, return-value]


def _is_pointwise(conv: nn.Conv1d | nn.Conv2d) -> bool:
    return set(conv.kernel_size) == {1} and set(conv.stride) == {1} and not any(conv.padding)  # type: ignore[arg-type]


def _dense(conv: nn.Conv1d | nn.Conv2d) -> Tensor:
    """The weight of the same convolution with one group, in fp64."""
    weight, groups = conv.weight.double(), conv.groups
    if groups == 1:
        return weight
    dense = weight.new_zeros((conv.out_channels, conv.in_channels, *weight.shape[2:]))
    for rows, columns, part in zip(
        dense.chunk(groups), range(0, conv.in_channels, weight.shape[1]), weight.chunk(groups), strict=True
    ):
        rows[:, columns : columns + weight.shape[1]] = part
    return dense


def scales_into_thresholds(model: nn.Module, _look: Look) -> list[Change]:
    """The scale of each attention into the threshold of the neuron behind it: fire(c z; th) = fire(z; th / c)."""
    found = []
    for path, module in model.named_modules():
        if not isinstance(module, SpikeAttention) or module.scale == 1.0:
            continue
        neuron: Any = module.out_neuron
        if type(neuron) not in (IF, LIF, PLIF, ILIF) or getattr(neuron, "reset_value", 0.0) != 0.0:
            continue
        neuron.threshold, scale, module.scale = neuron.threshold / module.scale, module.scale, 1.0
        found.append(Change(path, f"the scale {scale:g} went into the threshold, now {neuron.threshold:g}"))
    return found


@torch.no_grad()
def scales_into_weights(model: nn.Module, look: Look) -> list[Change]:
    """The output scale of each integer neuron into the weights that read it, where nothing else does."""
    if not any(type(m) is ILIF and m.scale != 1.0 for m in model.modules()):
        return []
    near, found = look(model), []
    for node in near.graph:
        neuron = near.modules.get(node.module)
        if node.op != "spikedrive.ilif_scan.default" or type(neuron) is not ILIF or neuron.scale == 1.0:
            continue
        scans = [n for n in near.graph if n.module == node.module and n.op == node.op]
        layers = near.layers_behind(node)
        if not layers or len(scans) > 1:
            continue
        for layer in layers:
            near.linear(layer).weight.mul_(neuron.scale)  # type: ignore[union-attr, operator]
        scale, neuron.scale = neuron.scale, 1.0
        into = ", ".join(dict.fromkeys(layer.module for layer in layers))
        found.append(Change(node.module, f"the output scale {scale:g} went into the weight of {into}"))
    return found


REPAIRS: tuple[Repair, ...] = (
    fuse_chains, scales_into_thresholds, fold_batch_norms, fold_constants, merge_layers, scales_into_weights,
)  # fmt: skip
