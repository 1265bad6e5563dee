"""From a sequence of layers and neurons to a NIR graph."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikedrive.errors import ConfigError
from spikedrive.interop.nir.mappings import mapping
from spikedrive.interop.nir.package import package
from spikedrive.interop.nir.steps import EveryStep, InputAffine
from spikedrive.neurons import IF, LIF, PLIF, Neuron
from spikedrive.neurons.delta import Accumulate
from spikedrive.neurons.neuron import check_number

KEY = "spikedrive"
"""Under which metadata a node says which neuron it was, so that reading gives the same one, training options too."""


def to_nir(model: nn.Sequential, example: Tensor, *, dt: float = 1e-4) -> Any:
    """`model` as a `nir.NIRGraph` of one node a layer.

    `model` is an `nn.Sequential`, nested ones included, of linear layers, neurons, `nn.Flatten(2)`, and
    `EveryStep` around convolutions and average pools; `example` is an input (T, B, ...), which gives the shapes.
    Dropout and identities are left out. What each neuron becomes is in `MAPPINGS`; its parameters are fp32, one
    element a cell.

    *Units*: dt in seconds a step.
    *Raises*: ConfigError for a layer or a neuron that NIR has no node for, with the reason; MissingExtraError.
    """
    nir = package()
    check_number("to_nir", "dt", dt, above=0)
    nodes, x = [], example
    with torch.no_grad():
        for layer in _layers(model.eval()):
            y = layer(x)
            nodes.append(_node(layer, tuple(x.shape[2:]), tuple(y.shape[2:]), dt))
            x = y
    first, last = (
        nir.Input({"input": np.array(example.shape[2:])}),
        nir.Output({"output": np.array(x.shape[2:])}),
    )
    graph = nir.NIRGraph.from_list(first, *nodes, last, type_check=False)
    graph.metadata = {"dt": dt}
    return graph


def _layers(model: nn.Module) -> Iterator[nn.Module]:
    for layer in model.children() if isinstance(model, nn.Sequential) else [model]:
        if isinstance(layer, nn.Sequential):
            yield from _layers(layer)
        elif not isinstance(layer, (nn.Identity, nn.Dropout, nn.Dropout2d)):
            yield layer


def _node(layer: nn.Module, before: tuple[int, ...], after: tuple[int, ...], dt: float) -> Any:
    nir = package()
    if isinstance(layer, (Neuron, Accumulate)):
        return neuron_node(layer, after, dt)
    if isinstance(layer, nn.Linear) and len(before) == 1:
        weight = _array(layer.weight)
        return nir.Linear(weight) if layer.bias is None else nir.Affine(weight, _array(layer.bias))
    if isinstance(layer, nn.Flatten) and layer.start_dim == 2:
        return nir.Flatten({"input": np.array(before)}, start_dim=0, end_dim=-1)
    if isinstance(layer, InputAffine):
        return _scale(layer, after)
    inner = layer.layer if isinstance(layer, EveryStep) else None
    if isinstance(inner, (nn.Conv1d, nn.Conv2d)) and inner.padding_mode == "zeros":
        return _convolution(inner, before)
    if isinstance(inner, nn.AvgPool2d) and not inner.ceil_mode:
        return nir.AvgPool2d(*(np.array(_pair(n)) for n in (inner.kernel_size, inner.stride, inner.padding)))
    raise ConfigError(
        f"to_nir got {layer} on inputs of shape {before}, which NIR has no node for; it takes nn.Linear on (T, B, C), "
        "nn.Flatten(2), neurons, and EveryStep around nn.Conv1d, nn.Conv2d or nn.AvgPool2d. Replace the layer, and "
        "fold BatchNorm into the layer in front."
    )


def _scale(layer: InputAffine, shape: tuple[int, ...]) -> Any:
    if bool(layer.offset.any()):
        raise ConfigError(
            "to_nir got an InputAffine with an offset, and NIR adds constants in nir.Affine alone; it takes "
            "one of zero. Add the offset to the bias of the layer in front."
        )
    return package().Scale(np.broadcast_to(_array(layer.gain), shape).copy())


def _convolution(layer: nn.Conv1d | nn.Conv2d, before: tuple[int, ...]) -> Any:
    nir = package()
    bias = np.zeros(layer.out_channels, np.float32) if layer.bias is None else _array(layer.bias)
    rest = _array(layer.weight), layer.stride, layer.padding, layer.dilation, layer.groups, bias
    if isinstance(layer, nn.Conv2d):
        return nir.Conv2d(before[1:], *rest)
    weight, *sizes, groups, bias = rest
    return nir.Conv1d(before[1], weight, *(n if isinstance(n, str) else n[0] for n in sizes), groups, bias)


def neuron_node(neuron: nn.Module, shape: tuple[int, ...], dt: float) -> Any:
    """The node of one neuron whose cells have this shape.

    *Raises*: ConfigError for one without a node.
    """
    name = type(neuron).__name__
    if name not in _NODES:
        kind = neuron.domain.kind if isinstance(neuron, Neuron) and neuron.domain else "real"
        raise ConfigError(
            f"to_nir got a {name}, which has no node: {mapping(name, kind).conversion}. It takes "
            f"{', '.join(sorted(_NODES))}. Keep the model in this library, or train it with one of these."
        )
    if getattr(neuron, "reset", "hard") != "hard":
        raise ConfigError(
            f"to_nir got a {name} with reset='soft', and NIR's neurons are set to v_reset; it takes reset='hard'. "
            "Train with a hard reset."
        )
    if getattr(neuron, "delayed_reset", False):
        raise ConfigError(
            f"to_nir got a {name} with delayed_reset=True, and NIR's neurons reset in the step of the spike; it takes "
            "delayed_reset=False. Train with an immediate reset."
        )
    node = _NODES[name](neuron, dt)
    for key, value in vars(node).items():
        if isinstance(value, np.ndarray) and key not in ("input_type", "output_type"):
            setattr(node, key, np.full(shape, value, np.float32))
    # the node works out its types from its arrays
    node.__post_init__()
    if isinstance(neuron, Neuron):
        node.metadata = {KEY: json.dumps(_arguments(neuron))}
    return node


def _leaky(neuron: Any, dt: float) -> Any:
    nir, decay = package(), _decay(neuron)
    threshold, reset = _threshold(neuron), np.array(neuron.reset_value)
    if decay == 1:
        if neuron.decay_input:
            raise ConfigError(
                "to_nir got a LIF with decay=1 and decay_input=True, whose input counts for nothing; it takes a decay "
                "below 1. Use IF."
            )
        return nir.IF(np.array(1 / dt), threshold, reset)
    gain = 1.0 if neuron.decay_input else 1 / (1 - decay)
    return nir.LIF(np.array(dt / (1 - decay)), np.array(gain), reset, threshold, reset)


def _current_based(neuron: Any, dt: float) -> Any:
    if max(neuron.current_decay, neuron.decay) == 1:
        raise ConfigError(
            "to_nir got a CurrentLIF that forgets nothing (a decay of 1), and the time constants of nir.CubaLIF are "
            "finite; it takes decays below 1. Use IF behind Accumulate, or a decay near 1."
        )
    synapse, membrane = 1 / (1 - neuron.current_decay), 1 / (1 - neuron.decay)
    reset = np.array(neuron.reset_value)
    return package().CubaLIF(
        tau_syn=np.array(dt * synapse), tau_mem=np.array(dt * membrane), r=np.array(membrane), v_leak=reset,
        v_threshold=_threshold(neuron), v_reset=reset, w_in=np.array(synapse),
    )  # fmt: skip


_NODES: dict[str, Callable[[Any, float], Any]] = {
    "IF": lambda neuron, dt: package().IF(np.array(1 / dt), _threshold(neuron), np.array(neuron.reset_value)),
    "LIF": _leaky,
    "PLIF": _leaky,
    "CurrentLIF": _current_based,
    "Accumulate": lambda _, dt: package().I(np.array(1 / dt)),
}


def _threshold(neuron: Any) -> Any:
    # h >= threshold is h > what comes before it
    exact = np.float32(neuron.threshold)
    return np.array(exact if neuron.strict else np.nextafter(exact, np.float32(-np.inf)))


def _decay(neuron: Any) -> float:
    return float(1 - neuron.w.detach().double().sigmoid()) if isinstance(neuron, PLIF) else neuron.decay


def _arguments(neuron: Any) -> dict[str, Any]:
    """What makes the same neuron again; a learned decay is now a given one."""
    cls = LIF if isinstance(neuron, PLIF) else type(neuron)
    names = set(inspect.signature(cls).parameters) - {"decay", "surrogate"}
    said = {name: getattr(neuron, name) for name in sorted(names) if hasattr(neuron, name)}
    if not isinstance(neuron, IF):
        said["decay"] = _decay(neuron)
    return {"name": cls.__name__, "surrogate": [neuron.surrogate.name, neuron.surrogate.alpha], **said}


def _array(tensor: Tensor) -> Any:
    return tensor.detach().float().cpu().numpy().copy()


def _pair(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (size, size) if isinstance(size, int) else tuple(size)
