"""NeuroBench's metrics of cost, under its names and with its numbers, on any PyTorch model.

*Equation*, over the layers that it knows (Linear, Conv1d to Conv3d; found below the model, never the model itself), for
each call with input x and weight w, N samples in all:

    operations       sum of layer(x != 0) with w != 0 for weights and no bias
    dense            the same with ones for x and w
    Effective_ACs    operations of the calls whose x holds nothing but -1, 0 and 1, over N
    Effective_MACs   operations of the others, over N
    sparsity         share of zeros in what ReLU, Sigmoid and neurons give, over all calls
    membrane_updates (size at the first call + non-zeros of pre - post at later ones) over N, snnTorch's neurons alone

*Source*: NeuroBench 2.3.0, `metrics`, `hooks` and `models`. *Where we differ*: neurons of this library and of
SpikingJelly, Norse and Sinabs are activations without being added; recurrent layers and cells are refused, where the
suite fails on the former and counts the latter for one sample.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.errors import ConfigError, DataError
from spikedrive.interop.libraries import neurons_of_others
from spikedrive.interop.libraries.cells import Cell
from spikedrive.neurons import Neuron

CONNECTIONS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
RECURRENT = (nn.RNNBase, nn.RNNCellBase)
ACTIVATIONS = (nn.ReLU, nn.Sigmoid, Neuron, Cell)
UPDATE_COST = {
    ("Leaky", "subtract"): 4, ("Leaky", "zero"): 4, ("Synaptic", "subtract"): 6, ("Synaptic", "zero"): 8,
    ("Lapicque", "subtract"): 11, ("Lapicque", "zero"): 11, ("Alpha", "subtract"): 18, ("Alpha", "zero"): 24,
}  # fmt: skip
"""Operations of one membrane update, by class and reset."""

Call = Callable[[nn.Module, Tensor], Any]


def by_step(net: nn.Module, x: Tensor) -> Tensor:
    """How the suite calls a network of snnTorch: from rest, one step after the other.

    *Shapes*: x (B, T, ...) -> (B, T, ...).
    """
    for module in net.modules():
        if hasattr(module, "reset_mem"):
            module.reset_mem()  # type: ignore[operator]
    return torch.stack([net(x_t)[0] for x_t in x.unbind(1)], 1)


def footprint(model: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))


def parameter_count(model: nn.Module) -> int:
    """How many numbers the parameters hold."""
    return sum(p.numel() for p in model.parameters())


def connection_sparsity(model: nn.Module) -> float:
    """The share of zeros among the weights of known layers, to four digits.

    *Raises*: ConfigError for a model without any, where the suite divides by zero.
    """
    weights = [layer.weight for layer in _found(model, CONNECTIONS) if not list(layer.children())]
    total = sum(w.numel() for w in weights)
    if not total:
        raise ConfigError(
            f"{type(model).__name__} has no Linear or convolution below it; connection_sparsity counts the weights of "
            "these. Wrap a single layer: torch.nn.Sequential(layer)."
        )
    # the suite divides tensors, which are fp32
    return round((sum((w == 0).sum() for w in weights) / total).item(), 4)  # type: ignore[union-attr]


def measure(
    model: nn.Module, batches: Iterable[Tensor], *, call: Call | None = None, activations: tuple[type, ...] = (),
    batch_axis: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Every metric of `model` in eval mode on `batches` of inputs.

    `call(model, batch)` runs it, as `by_step` does; `activations` are further classes whose output is an activation.

    Raises: ConfigError for a model with recurrent layers, or without any known one; DataError without a sample.
    """
    for layer in model.modules():
        if isinstance(layer, RECURRENT):
            raise ConfigError(
                f"{type(model).__name__} holds a {type(layer).__name__}; Linear and convolutions are counted, and "
                "NeuroBench 2.3 fails on recurrent layers. Use audit."
            )
    others = {id(module) for _, module, _ in neurons_of_others(model)}
    samples, watched = 0, _Watched()
    with torch.no_grad(), _in_eval(model), _hooks(model, watched, (*ACTIVATIONS, *activations), others):
        for batch in batches:
            (call or nn.Module.__call__)(model, batch)
            watched.close_batch()
            samples += batch.shape[batch_axis]
    if not samples:
        raise DataError("measure got no sample; it takes batches of at least one. Give it inputs.")
    outputs = watched.outputs.values()
    size, zeros = sum(n for n, _ in outputs), sum(z for _, z in outputs)
    return {
        "footprint": footprint(model),
        "parameter_count": parameter_count(model),
        "connection_sparsity": connection_sparsity(model),
        "activation_sparsity": zeros / size if size else 0.0,
        "activation_sparsity_by_layer": {name: z / n if n else 0.0 for name, (n, z) in watched.outputs.items()},
        "synaptic_operations": {
            "Effective_MACs": watched.macs / samples, "Effective_ACs": watched.acs / samples,
            "Dense": watched.dense / samples,
        },
        "membrane_updates": watched.updates / samples,
        "neuron_operations": {
            "Effective Neuron Ops": watched.effective_ops / samples,
            "Neuron Dense Ops": watched.dense_ops / samples,
        },
    }  # fmt: skip


@dataclass
class _Watched:
    """What the hooks add up."""

    outputs: dict[str, tuple[int, int]] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    before: dict[int, Tensor] = field(default_factory=dict)
    macs: int = 0
    acs: int = 0
    dense: int = 0
    updates: int = 0
    effective_ops: int = 0
    dense_ops: int = 0

    def close_batch(self) -> None:
        """The next call of a neuron is the first again."""
        self.seen.clear()

    def connection(self, layer: nn.Module, x: Tensor) -> None:
        """Count one call of a layer with weights."""
        operations = _operations(layer, (x != 0).to(x.dtype), ones=False)
        if bool(((x == 0) | (x == 1) | (x == -1)).all()):
            self.acs += operations
        else:
            self.macs += operations
        self.dense += _operations(layer, torch.ones_like(x), ones=True)

    def remember(self, module: Any, _: Any) -> None:
        """Keep the membrane before a call."""
        self.before[id(module)] = module.mem

    def activation(self, name: str, module: Any, y: Any) -> None:
        """Count one call of a neuron or another activation."""
        y = y[0] if isinstance(y, tuple) else y
        size, zeros = self.outputs.get(name, (0, 0))
        self.outputs[name] = size + y.numel(), zeros + int((y == 0).sum())
        if not _shows_membrane(module):
            return
        first, after = id(module) not in self.seen, module.mem
        self.seen.add(id(module))
        count = after.numel() if first else int(torch.count_nonzero(self.before[id(module)] - after))
        cost = UPDATE_COST.get((type(module).__name__, module.reset_mechanism), 0)
        self.updates += count
        self.effective_ops += cost * count
        self.dense_ops += cost * after.numel()


def _operations(layer: nn.Module, x: Tensor, *, ones: bool) -> int:
    """The sum of what a layer of zeros and ones gives."""
    binary: Any = copy.copy(layer)
    binary._parameters = dict(layer._parameters)
    binary._forward_pre_hooks = {}
    weight = layer._parameters["weight"]
    assert weight is not None
    mask = torch.ones_like(weight) if ones else (weight != 0).to(weight.dtype)
    binary._parameters["weight"] = nn.Parameter(mask, requires_grad=False)
    binary._parameters["bias"] = None
    return int(binary(x).sum())


def _shows_membrane(module: nn.Module) -> bool:
    return any(c.__module__.startswith("snntorch.") for c in type(module).__mro__) and hasattr(module, "mem")


def _found(module: nn.Module, kinds: tuple[type, ...]) -> Iterator[Any]:
    """The modules of these kinds below `module`, none below another."""
    for child in module.children():
        if isinstance(child, kinds):
            yield child
        else:
            yield from _found(child, kinds)


@contextmanager
def _in_eval(model: nn.Module) -> Iterator[None]:
    trained = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in trained:
            module.training = True


@contextmanager
def _hooks(net: nn.Module, watched: _Watched, kinds: tuple[type, ...], others: set[int]) -> Iterator[None]:
    handles = []
    for layer in _found(net, CONNECTIONS):
        handles.append(layer.register_forward_pre_hook(lambda m, x: watched.connection(m, x[0])))
    for name, child in _activations(net, kinds, others):
        if _shows_membrane(child):
            handles.append(child.register_forward_pre_hook(watched.remember))
        handles.append(child.register_forward_hook(lambda m, _, y, name=name: watched.activation(name, m, y)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _activations(
    module: nn.Module, kinds: tuple[type, ...], others: set[int]
) -> Iterator[tuple[str, nn.Module]]:
    """Name in its parent, and module, of each activation that is below no other."""
    for name, child in module.named_children():
        if isinstance(child, kinds) or id(child) in others:
            yield name, child
        else:
            yield from _activations(child, kinds, others)
