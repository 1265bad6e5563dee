"""`unroll`: from integers in T steps to spikes in T x D binary steps."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from spikedrive.auditing.trace import Batched, Graph, Node, Ref, trace
from spikedrive.errors import ShapeError, UnrollError
from spikedrive.neurons import Neuron
from spikedrive.ops import domains
from spikedrive.state import plain_path
from spikedrive.transforms import substeps
from spikedrive.transforms.examples import example_of
from spikedrive.transforms.spikes import Spikes


def unroll(
    model: nn.Module,
    example: Tensor | tuple[Tensor, ...] | None = None,
    *,
    batch_axis: int | None = None,
) -> Unrolled:
    """The same network in binary steps: a neuron with levels D emits D binary sub-steps where it emitted 0..D.

    *Equation*: an integer n is the thermometer code s_d = 1 where n > d, d = 0..D-1, so that n = sum s_d, and

        W n + b = b + sum over d of W s_d

    Each synapse meets one binary sub-step at a time; the membrane adds their currents up and takes the bias once,
    with the first sub-step (b / D in each would round). BatchNorm and whatever else stands between a synapse and the
    next neuron acts on that sum, as before. A maximum is taken sub-step by sub-step; the sum of two neurons' spikes
    comes as the sub-steps of both, D1 + D2; their product n m as D1 x D2 sub-steps, spike AND spike, and a matrix
    product of them (V K^T) adds those up before Q's spikes select from it: n m additions of 1, where the integers
    take the smaller of n and m additions of the other.

    The identity holds exactly for real numbers. In floating point the sums come in another order: they are equal to
    the bit where nothing rounds (weights on a binary grid), and otherwise a membrane within a rounding error of a
    threshold may fall on its other side. `verify_unrolled` counts how often that happens on data.

    `example` is one input as the model takes it; a registered model needs none. `batch_axis` is 0 for (B, ...) and 1
    for (T, B, ...); a model's card says which.

    *Shapes*: as the model's; T is that of the example, the batch has any size where the model allows it.
    *Raises*: UnrollError naming the module of an operation or a neuron that has no form in binary steps, or where no
    neuron emits integers; AuditError for a model that cannot be exported; ConfigError for neither card nor example.
    """
    graph = trace(model, example_of("unroll", model, example), batch_axis=batch_axis)
    scans = [node for node in graph if node.op == "spikedrive.ilif_scan.default"]
    _check_neurons(model, graph, {node.module for node in scans})
    unrolled = Unrolled(graph)
    if max(unrolled.levels.values(), default=1) == 1:
        raise UnrollError(
            f"unroll got a {type(model).__name__} without a neuron of more than one level; it takes networks of "
            "integer neurons (ILIF, NILIF), others are in binary steps already. Use the model as it is."
        )
    # an operation without a form in binary steps is found here, not at the first call
    inputs = [graph[name] for name in graph.inputs]
    device = next((b.device for b in unrolled.buffers()), None)
    with torch.no_grad():
        unrolled(*[torch.zeros([*map(int, x.shape)], dtype=x.dtype, device=device) for x in inputs])
    return unrolled.eval()


class Unrolled(nn.Module):
    """What `unroll` gives: the operations of a network, in order, with its integers in binary sub-steps.

    Each operation is a submodule at the path of the module that it came from, neurons at their own. `levels` holds
    the number of binary sub-steps of each neuron by that path, `any_batch` whether the batch may have any size. It is
    for inference, starts from rest at every call, and holds copies of the weights.

    *Shapes*: the inputs of the model -> its output, or a tuple of them.
    *Raises*: ShapeError for inputs of another shape than the example's, the batch aside.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._inputs = {name: tuple(map(int, graph[name].shape)) for name in graph.inputs}
        self._outputs = graph.outputs
        self.batch_axis, self.any_batch = graph.batch_axis, graph.dynamic
        self._fixed = {
            name: _Constant(graph[name], graph) for name in graph.outputs if name in graph.constants
        }
        self._order: list[tuple[str, str, tuple[str, ...]]] = []
        self.levels: dict[str, int] = {}
        nodes = [node for node in graph if node.op not in ("input", "constant")]
        paths = _paths(nodes)
        # a module before what stands in it
        for node in sorted(nodes, key=lambda node: paths[node.name].count(".")):
            operation = Operation(node, graph)
            _place(self, paths[node.name], operation)
            if operation.levels:
                self.levels[paths[node.name]] = operation.levels
        for node, gone in zip(nodes, _last_reads(nodes, graph.outputs), strict=True):
            self._order.append((node.name, paths[node.name], gone))

    def forward(self, *inputs: Tensor) -> Any:
        """The answer of the network."""
        self._check(inputs)
        values: dict[str, Any] = dict(zip(self._inputs, inputs, strict=True))
        values.update({name: constant() for name, constant in self._fixed.items()})
        batch = inputs[0].shape[self.batch_axis]
        for name, path, gone in self._order:
            values[name] = self.get_submodule(path)(values, batch)
            for read in gone:
                values.pop(read, None)
        results = [values[name] for name in self._outputs]
        results = [value.total() if isinstance(value, Spikes) else value for value in results]
        return results[0] if len(results) == 1 else tuple(results)

    def _check(self, inputs: tuple[Tensor, ...]) -> None:
        wanted = list(self._inputs.values())
        axis = self.batch_axis if self.any_batch else -1

        def fits(x: Tensor, shape: tuple[int, ...]) -> bool:
            same = (i == axis or a == b for i, (a, b) in enumerate(zip(x.shape, shape, strict=False)))
            return x.dim() == len(shape) and all(same)

        if len(inputs) != len(wanted) or not all(map(fits, inputs, wanted)):
            raise ShapeError(
                f"The unrolled network got inputs of shape {[tuple(x.shape) for x in inputs]}; it takes {wanted}"
                f"{f' with any number of samples along axis {axis}' if axis >= 0 else ''}, as the example was. "
                "Unroll again with an example of the new shape."
            )

    def extra_repr(self) -> str:
        """The sub-steps, for print(model)."""
        return f"sub-steps={max(self.levels.values(), default=1)}, neurons={len(self.levels)}"


class Operation(nn.Module):
    """One operation of the network, with the weights and constants that it reads as buffers.

    `source` is the path of the module that it came from, `levels` the number of sub-steps that a neuron emits.
    """

    def __init__(self, node: Node, graph: Graph) -> None:
        super().__init__()
        self.source, self.op, self.levels = node.module, node.op, 0
        self._node, self._constants = node, {}
        for name in dict.fromkeys(node.refs):
            if name in graph.constants:
                place = f"constant_{len(self._constants)}"
                self._constants[name] = place
                self.register_buffer(place, graph.constants[name].detach().clone())
        if isinstance(node.function, torch._ops.OpOverload):
            self._given = domains.bind(node.function, node.args, node.kwargs)
        else:
            self._given = {}
        if node.op == "spikedrive.ilif_scan.default":
            self.levels = int(self._given["levels"]) * int(self._given["repeats"])
        elif node.op in domains.NEURON_OPS:
            self.levels = 1

    def forward(self, values: dict[str, Any], batch: int) -> Any:
        """What the operation makes of the `values` that it reads, for `batch` samples."""
        node = self._node
        if node.op == "getitem":
            return values[node.args[0].name][node.args[1]]

        def real(leaf: Any) -> Any:
            if isinstance(leaf, Ref):
                return (
                    getattr(self, self._constants[leaf.name])
                    if leaf.name in self._constants
                    else values[leaf.name]
                )
            return leaf.at(batch) if isinstance(leaf, Batched) else leaf

        given = pytree.tree_map(real, self._given, is_leaf=lambda leaf: isinstance(leaf, Ref))
        return substeps.apply(node, node.function, given)

    def __getstate__(self) -> dict[str, Any]:
        # PyTorch's operations are no files; they are found again by their names
        return {**self.__dict__, "_node": replace(self._node, function=None)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.op != "getitem":
            namespace, name, overload = self.op.split(".")
            self._node.function = getattr(getattr(getattr(torch.ops, namespace), name), overload)

    def extra_repr(self) -> str:
        """The operation, for print(model)."""
        return self.op


class _Constant:
    """An output that does not depend on the input."""

    def __init__(self, node: Node, graph: Graph) -> None:
        self._value = graph.constants[node.name].detach().clone()

    def __call__(self) -> Tensor:
        return self._value


def _check_neurons(model: nn.Module, graph: Graph, scanned: set[str]) -> None:
    """Refuse a neuron module that emits integers by operations of its own."""
    used = {node.module for node in graph}
    for path, module in model.named_modules():
        path = plain_path(path)
        domain = module.domain if isinstance(module, Neuron) else None
        if domain is None or path not in used or path in scanned or (domain.low, domain.high) == (0, 1):
            continue
        raise UnrollError(
            f"The neuron {path or '(the model itself)'!r} is a {type(module).__name__} that emits {domain}; unroll "
            "takes neurons with 0..D that end in the integer scan (ILIF, NILIF), and binary ones. Train with one of "
            "those."
        )


def _paths(nodes: list[Node]) -> dict[str, str]:
    """Where each operation stands: at its module's path where it is the only one there, or the only neuron."""
    kinds = {node.name: "scan" if node.op in domains.NEURON_OPS else "other" for node in nodes}
    # what a scan returns is taken apart by operations that do nothing
    counts = Counter((node.module, kinds[node.name]) for node in nodes if node.op != "getitem")
    paths = {}
    for node in nodes:
        scans, others = counts[node.module, "scan"], counts[node.module, "other"]
        first = (
            scans == 1 if kinds[node.name] == "scan" else (scans, others) == (0, 1) and node.op != "getitem"
        )
        own = f"{node.module}.operation_{node.name}".lstrip(".")
        paths[node.name] = node.module if first and node.module else own
    return paths


def _place(root: nn.Module, path: str, operation: nn.Module) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        if parent not in root._modules:
            root.add_module(parent, nn.Module())
        root = root.get_submodule(parent)
    root.add_module(name, operation)


def _last_reads(nodes: list[Node], outputs: tuple[str, ...]) -> list[tuple[str, ...]]:
    """For each operation the values that nothing reads after it."""
    last = {name: node.name for node in nodes for name in node.refs}
    kept = set(outputs)
    return [
        tuple(n for n in dict.fromkeys(node.refs) if last[n] == node.name and n not in kept) for node in nodes
    ]
