"""A neuron's equation as a graph: one element, a few steps, no export.

An export takes a second a neuron; this takes milliseconds, so that a list of all of them can be made
while somebody waits.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from spikedrive.auditing.trace import Graph, Node, Ref, folded
from spikedrive.neurons import Neuron
from spikedrive.ops import domains

SYNAPSE = "aten.linear.default"
"""The operation in front of each step, into whose weight the constants of the input fold."""

aten = torch.ops.aten


def equation_graph(neuron: Neuron, x: Tensor, state: Any) -> Graph:
    """What `neuron` computes on x (T, B, ...) from `state`, behind a linear layer, in plain operations."""
    leaves, form = pytree.tree_flatten(state)
    held = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    size = x.shape[-1]
    # two inputs each: a constant folds into a weight of any numbers, not into one of signs
    one = torch.eye(size, dtype=x.dtype)
    weight = nn.Parameter(torch.cat([0.6 * one, 0.4 * one], 1), requires_grad=False)

    def steps(x: Tensor, *tensors: Tensor) -> list[Tensor]:
        given = iter(tensors)
        start = [next(given) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        driven = torch.stack([F.linear(x[t], weight) for t in range(x.shape[0])])
        y, last = neuron.scan(driven, pytree.tree_unflatten(start, form))
        return [y, *(leaf for leaf in pytree.tree_leaves(last) if isinstance(leaf, Tensor))]

    with torch.no_grad():
        traced = make_fx(steps, decomposition_table=domains.decompositions(), pre_dispatch=True)(
            torch.cat([x, x], -1), *held
        )
    _simplify(traced.graph)
    return _graph(traced)


def _simplify(graph: fx.Graph) -> None:
    """Without what an argument of 0 leaves in an equation, 0 x + y, and without joining steps to part them again."""
    zero: set[fx.Node] = set()
    for node in list(graph.nodes):
        source = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        if node.target is operator.getitem and source is not None and source.target is aten.unbind.int:
            joined = source.args[0]
            if joined.target is aten.stack.default and len(joined.args) == 1 and len(source.args) == 1:
                node.replace_all_uses_with(joined.args[0][node.args[1]])
        elif node.target is aten.mul.Tensor and 0 in node.args:
            zero.add(node)
        elif node.target is aten.add.Tensor and not node.kwargs:
            x, y = node.args
            kept = y if x in zero else x if y in zero else None
            if kept is not None and kept not in zero:
                node.replace_all_uses_with(kept)
    graph.eliminate_dead_code()


def _graph(traced: fx.GraphModule) -> Graph:
    nodes: list[Node] = []
    constants: dict[str, Tensor] = {}
    for source in traced.graph.nodes:
        shown = [t for t in pytree.tree_leaves(source.meta.get("val")) if isinstance(t, Tensor)]
        described = {
            "shapes": tuple(tuple(t.shape) for t in shown), "dtypes": tuple(t.dtype for t in shown)
        }  # fmt: skip
        if source.op == "placeholder":
            nodes.append(Node(source.name, "input", **described))
        elif source.op == "get_attr":
            constants[source.name] = getattr(traced, source.target)
            nodes.append(Node(source.name, "constant", target=source.target, **described))
        elif source.op == "call_function":
            args, kwargs = map_arg((source.args, source.kwargs), _ref)
            op = "getitem" if source.target is operator.getitem else str(source.target)
            nodes.append(Node(source.name, op, args, kwargs, function=source.target, **described))
    inputs = tuple(node.name for node in nodes if node.op == "input")
    (output,) = (n for n in traced.graph.nodes if n.op == "output")
    outputs = tuple(n.name for n in output.args[0])
    return folded(Graph(nodes, inputs, outputs, constants, batch=1, dynamic=False, batch_axis=1))


def _ref(node: fx.Node) -> Any:
    return Ref(node.name)
