"""Which layers of a model stand next to each other, by its graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from torch import nn

from spikedrive.auditing.trace import Graph, Node

LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d)

# the same elements in the same order
_VIEWS = {
    "aten.view.default", "aten.reshape.default", "aten._unsafe_view.default", "aten.flatten.using_ints",
    "aten.unflatten.int", "aten.squeeze.dim", "aten.unsqueeze.default", "aten.contiguous.default",
    "aten.clone.default", "aten.alias.default", "aten.detach.default", "aten.dropout.default",
}  # fmt: skip
_SILENT = _VIEWS | {"input", "constant", "getitem"}
# what a positive constant passes through
_HOMOGENEOUS = _VIEWS | {
    "getitem", "aten.permute.default", "aten.transpose.int", "aten.select.int", "aten.slice.Tensor",
    "aten.max_pool1d.default", "aten.max_pool2d.default", "aten.avg_pool1d.default", "aten.avg_pool2d.default",
    "aten.adaptive_avg_pool1d.default", "aten.adaptive_avg_pool2d.default", "aten.mean.dim", "aten.sum.dim_IntList",
}  # fmt: skip


class Neighbours:
    """The graph of a model (or of its copy in another precision) with the modules that its operations came from.

    Only a module that runs once, and shares no parameter with another, is found: it may be changed for its neighbour.
    """

    def __init__(self, model: nn.Module, graph: Graph) -> None:
        self.graph = graph
        self.modules = dict(model.named_modules())
        parameters = [p for m in model.modules() for p in m.parameters(recurse=False)]
        owners = Counter(id(p) for p in parameters)
        # a module may stand at several paths
        places = dict(model.named_modules(remove_duplicate=False))
        calls = Counter(id(places.get(n.module)) for n in self.graph if n.op not in _SILENT)
        self._alone = {
            path for path, m in self.modules.items()
            if calls[id(m)] == 1 and all(owners[id(p)] == 1 for p in m.parameters(recurse=False))
        }  # fmt: skip

    def module(self, node: Node) -> nn.Module | None:
        """The module whose only operation this is."""
        if node.op in _SILENT or node.module not in self._alone:
            return None
        return self.modules[node.module]

    def linear(self, node: Node) -> nn.Module | None:
        """The same where it is a layer that reads its own weight and bias, and nothing computed from them."""
        module = self.module(node)
        if not isinstance(module, LINEAR) or getattr(module, "padding_mode", "zeros") != "zeros":
            return None
        own = [f"{node.module}.{name}".lstrip(".") for name, _ in module.named_parameters(recurse=False)]
        read = [self.graph[name].target for name in node.refs[1:]]
        return module if read == own and not isinstance(getattr(module, "padding", 0), str) else None

    def pairs(self) -> Iterator[tuple[Node, Node]]:
        """Each operation with the layer in front, where nothing else reads that layer."""
        for node in self.graph:
            producer = self.before(node)
            if producer is not None and self.linear(producer) is not None:
                yield producer, node

    def before(self, node: Node) -> Node | None:
        """The operation that the first argument comes from, views without effect aside, if this alone reads it."""
        if not node.refs or node.op in _VIEWS:
            return None
        source = self.graph[node.refs[0]]
        if source.op in ("input", "constant"):
            return None
        shape = source.shape
        while source.op in _VIEWS and self._read_once(source):
            source = self.graph[source.refs[0]]
        same = tuple(map(int, source.shape)) == tuple(map(int, shape))
        return source if same and self._read_once(source) else None

    def _read_once(self, node: Node) -> bool:
        return len(node.users) == 1 and node.name not in self.graph.outputs

    def layers_behind(self, node: Node) -> list[Node] | None:
        """The layers that read a neuron's output, through operations that a constant passes; None for other readers."""
        if node.name in self.graph.outputs:
            return None
        found: list[Node] = []
        for name in node.users:
            user = self.graph[name]
            if user.op == "getitem" and user.args[1] != 0:
                # the membrane, of which nothing here depends on the scale
                if user.users:
                    return None
                continue
            if user.op in _HOMOGENEOUS:
                deeper = self.layers_behind(user)
                if deeper is None:
                    return None
                found += deeper
            elif self.linear(user) is not None and user.refs[0] == node.name:
                found.append(user)
            else:
                return None
        return found
