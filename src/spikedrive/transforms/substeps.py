"""What each operation makes of spikes in sub-steps; one that has no rule here refuses them.

A synapse is linear: it takes the sub-steps one by one and adds them up in the membrane, where its bias
enters once, with the first of them. A view, and a maximum of thermometer codes, leaves sub-steps.
A product of two spike trains has a sub-step for each pair of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from spikedrive.auditing.trace import Node
from spikedrive.errors import UnrollError
from spikedrive.ops.domains import NEURON_OPS
from spikedrive.transforms.spikes import Spikes, both, contracted, joined, largest
from spikedrive.transforms.thermometer import options_of, thermometer_scan


class Call:
    """One operation with the values that it reads, by its own argument names."""

    def __init__(self, node: Node, function: Any, arguments: Mapping[str, Any]) -> None:
        self.node, self.function, self.arguments = node, function, dict(arguments)

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def on(self, /, **changed: Any) -> Any:
        """The operation with other arguments."""
        return self.function(**{**self.arguments, **changed})

    @property
    def trains(self) -> list[str]:
        """The names of the arguments that are spikes in sub-steps."""
        return [name for name, value in self.arguments.items() if isinstance(value, Spikes)]

    def refused(self, why: str) -> UnrollError:
        """The error for an operation that has no form in binary sub-steps."""
        return UnrollError(
            f"{self.node.op} in {self.node.where} {why}, which has no form in binary steps; the spikes of an integer "
            "neuron can be weighted, added, pooled, selected and multiplied with other spikes. Put a neuron in front "
            "of it, or move it behind a layer."
        )


def apply(node: Node, function: Any, arguments: Mapping[str, Any]) -> Any:
    """The result of one operation: a `Spikes` where a neuron's integers stay integers, else a tensor."""
    call = Call(node, function, arguments)
    if node.op in NEURON_OPS:
        return _neuron(call)
    if not any(isinstance(leaf, Spikes) for leaf in _leaves(arguments)):
        return call.on()
    if node.op not in _RULES:
        raise call.refused("reads the integers of a neuron")
    return _RULES[node.op](call)


def _leaves(tree: Any) -> list[Any]:
    return pytree.tree_leaves(tree, is_leaf=lambda leaf: isinstance(leaf, Spikes))


def _neuron(call: Call) -> Any:
    arguments: dict[str, Any] = {
        k: v.total() if isinstance(v, Spikes) else v for k, v in call.arguments.items()
    }
    if call.node.op == "spikedrive.ilif_scan.default":
        code, last = thermometer_scan(arguments["x"], arguments["v"], *options_of(arguments))
        unit = arguments["scale"] / arguments["repeats"]
        return Spikes(code if unit == 1.0 else code * unit, unit), last, None
    domain = NEURON_OPS[call.node.op].domain(arguments)
    results = call.on(**arguments)
    if domain is None:
        return results
    if (domain.low, domain.high) != (0, 1):
        raise UnrollError(
            f"The neuron {call.node.where} emits {domain}; unroll takes neurons with 0..D that end in the integer scan "
            "(ILIF, NILIF), and binary ones. Train with one of those."
        )
    return Spikes(results[0].unsqueeze(0), domain.scale), *results[1:]


_Rule = Callable[[Call], Any]
_RULES: dict[str, _Rule] = {}


def _rule(*names: str) -> Callable[[_Rule], _Rule]:
    def register(function: _Rule) -> _Rule:
        _RULES.update(dict.fromkeys(names, function))
        return function

    return register


@_rule(
    "aten.view.default", "aten.reshape.default", "aten._unsafe_view.default", "aten.flatten.using_ints",
    "aten.unflatten.int", "aten.squeeze.default", "aten.squeeze.dim", "aten.squeeze.dims", "aten.unsqueeze.default",
    "aten.contiguous.default", "aten.clone.default", "aten.alias.default", "aten.detach.default",
    "aten.dropout.default", "aten.feature_dropout.default", "aten.to.dtype", "aten._to_copy.default",
    "aten.permute.default", "aten.transpose.int", "aten.t.default", "aten.movedim.int", "aten.swapaxes.default",
    "aten.numpy_T.default", "aten.mT.default", "aten.expand.default", "aten.select.int", "aten.slice.Tensor",
    "aten.narrow.default", "aten.index_select.default", "aten.flip.default", "aten.roll.default",
    "aten.repeat.default", "aten.chunk.default", "aten.split.Tensor", "aten.split.sizes",
    "aten.split_with_sizes.default", "aten.unbind.int", "aten.upsample_nearest2d.vec",
    "aten.upsample_nearest2d.default", "aten.view_as.default", "aten.reshape_as.default",
)  # fmt: skip
def _view(call: Call) -> Any:
    """Other places for the same elements."""
    name = next(iter(call.arguments))
    others = {k: v.stack[0] for k, v in call.arguments.items() if isinstance(v, Spikes) and k != name}
    return call[name].each(lambda part: call.on(**{name: part}, **others))


@_rule("aten.constant_pad_nd.default", "aten.pad.default")
def _padded(call: Call) -> Any:
    """Zeros around each sub-step."""
    if call.arguments.get("mode", "constant") != "constant" or call.arguments.get("value") not in (
        0,
        0.0,
        None,
    ):
        raise call.refused("pads a neuron's integers with something else than zeros")
    return _view(call)


@_rule("aten.cat.default", "aten.concat.default", "aten.concatenate.default", "aten.stack.default")
def _concatenated(call: Call) -> Any:
    """Side by side: codes of one unit stay codes."""
    parts = call["tensors"]
    trains = [part for part in parts if isinstance(part, Spikes)]
    if len(trains) < len(parts) or len({part.unit for part in trains}) > 1:
        return call.on(tensors=[part.total() if isinstance(part, Spikes) else part for part in parts])
    levels = max(part.levels for part in trains)
    padded = [_with_levels(part, levels).unbind(0) for part in trains]
    stack = torch.stack([call.on(tensors=list(step)) for step in zip(*padded, strict=True)])
    return Spikes(stack, trains[0].unit, all(part.ordered for part in trains))


def _with_levels(x: Spikes, levels: int) -> Tensor:
    silent = x.stack.new_zeros((levels - x.levels, *x.stack.shape[1:]))
    return torch.cat([x.stack, silent])


@_rule(
    "aten.conv1d.default", "aten.conv2d.default", "aten.conv3d.default", "aten.convolution.default",
    "aten.conv1d.padding", "aten.conv2d.padding", "aten.conv3d.padding", "aten.conv_transpose1d.default",
    "aten.conv_transpose2d.input", "aten.conv_transpose3d.input", "aten.linear.default",
)  # fmt: skip
def _weighted(call: Call) -> Tensor:
    """A synapse: each sub-step weighted, their sum in the membrane, and the bias once."""
    (name,) = _only_inputs(call)
    bias, space = call["bias"], call["weight"].dim() - 2
    if space:
        current = call[name].batched(lambda part: call.on(**{name: part, "bias": None}), space + 2)
    else:
        current = call.on(input=call[name].stack, bias=None)
    return current.sum(0) if bias is None else current.sum(0) + bias.view(-1, *[1] * space)


def _only_inputs(call: Call) -> list[str]:
    if call.trains[0] not in ("input", "self") or len(call.trains) > 1:
        raise call.refused("takes the integers of a neuron for its weight")
    return call.trains


@_rule("aten.sum.dim_IntList", "aten.sum.default", "aten.mean.dim", "aten.mean.default")
def _summed(call: Call) -> Tensor:
    """Sums of elements, and over all sub-steps."""
    stack, axes, rank = call["self"].stack, call.arguments.get("dim"), call["self"].stack.dim() - 1
    axes = range(rank) if not axes else [axis % rank for axis in axes]
    # the axis of the sub-steps goes with them
    total = stack.sum([0, *[axis + 1 for axis in axes]], keepdim=call.arguments.get("keepdim", False))
    total = total.squeeze(0) if call.arguments.get("keepdim", False) else total
    return total / math.prod(stack.shape[axis + 1] for axis in axes) if "mean" in call.node.op else total


def _space(call: Call) -> int:
    return next(n for n in (1, 2, 3) if f"pool{n}d" in call.node.op)


@_rule(
    "aten.avg_pool1d.default", "aten.avg_pool2d.default", "aten.avg_pool3d.default",
    "aten.adaptive_avg_pool1d.default", "aten.adaptive_avg_pool2d.default", "aten.adaptive_avg_pool3d.default",
    "aten._adaptive_avg_pool2d.default", "aten._adaptive_avg_pool3d.default",
)  # fmt: skip
def _averaged(call: Call) -> Tensor:
    """Sums over windows: one for each sub-step, and their sum."""
    return call["self"].batched(lambda part: call.on(self=part), _space(call) + 2).sum(0)


@_rule("aten.mul.Tensor", "aten.mul.Scalar", "aten.multiply.Tensor")
def _multiplied(call: Call) -> Any:
    """Spikes times spikes, or a value that spikes select."""
    x, y = call["self"], call["other"]
    if isinstance(x, Spikes) and isinstance(y, Spikes):
        return both(x, y)
    spikes, other = (x, y) if isinstance(x, Spikes) else (y, x)
    if _is_number(other) and other > 0:
        return replace(spikes, stack=spikes.stack * other, unit=spikes.unit * other)
    return spikes.total() * other if _is_number(other) else (spikes.stack * other).sum(0)


@_rule("aten.div.Tensor", "aten.div.Scalar")
def _divided(call: Call) -> Any:
    """By a number: another unit."""
    spikes, divisor = call["self"], call["other"]
    if call.trains != ["self"]:
        raise call.refused("divides by the integers of a neuron")
    if _is_number(divisor) and divisor > 0:
        return replace(spikes, stack=spikes.stack / divisor, unit=spikes.unit / divisor)
    return spikes.total() / divisor


@_rule("aten.matmul.default", "aten.mm.default", "aten.bmm.default")
def _contracted(call: Call) -> Tensor:
    """Spikes times a matrix, or times spikes: every pair of sub-steps."""
    x, y = call["self"], call["mat2" if "mat2" in call.arguments else "other"]
    if any((v.stack[0] if isinstance(v, Spikes) else v).dim() < 2 for v in (x, y)):
        raise call.refused("multiplies the integers of a neuron as a vector")
    return contracted(x, y)


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float))


@_rule("aten.add.Tensor", "aten.add.Scalar", "aten.sub.Tensor", "aten.sub.Scalar", "aten.rsub.Scalar",
       "aten.rsub.Tensor", "aten.neg.default")  # fmt: skip
def _added(call: Call) -> Any:
    """Spikes of one unit come one after the other; with anything else they are added up."""
    x: Any = call["self"]
    y: Any = call.arguments.get("other")
    plain = call.arguments.get("alpha", 1) == 1
    if len(call.trains) == 2 and plain and call.node.op == "aten.add.Tensor":
        if x.unit == y.unit and x.stack.shape[1:] == y.stack.shape[1:]:
            return joined(x, y)
    elif call.node.op == "aten.rsub.Scalar" and plain and x.levels == 1 and y == x.unit:
        # the complement of a spike is a spike
        return replace(x, stack=y - x.stack)
    return call.on(**{name: call[name].total() for name in call.trains})


@_rule("aten.max_pool1d.default", "aten.max_pool2d.default", "aten.max_pool3d.default")
def _pooled(call: Call) -> Spikes:
    """The maximum of thermometer codes is that of each sub-step."""
    code = call["self"].as_thermometer()
    return replace(code, stack=code.batched(lambda part: call.on(self=part), _space(call) + 2))


@_rule("aten.amax.default")
def _maximum(call: Call) -> Spikes:
    """The same over whole axes."""
    return call["self"].as_thermometer().each(lambda part: call.on(self=part))


@_rule("aten.maximum.default", "aten.max.other")
def _larger(call: Call) -> Spikes:
    """The larger of two codes."""
    x, y = call["self"], call["other"]
    if len(call.trains) < 2 or x.unit != y.unit:
        raise call.refused("compares the integers of a neuron with other values")
    return largest(x, y)


@_rule("aten.zeros_like.default", "aten.ones_like.default", "aten.full_like.default", "aten.empty_like.default",
       "aten.new_zeros.default", "aten.new_ones.default", "aten.new_full.default")  # fmt: skip
def _shaped(call: Call) -> Tensor:
    """A constant that takes the shape alone."""
    return call.on(**{name: call[name].stack[0] for name in call.trains})


@_rule("aten.batch_norm.default")
def _normalised(call: Call) -> Tensor:
    """A BatchNorm of integers: one affine map, of their sum."""
    return call.on(input=call["input"].total())
