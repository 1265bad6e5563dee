"""From a NIR graph to a sequence of layers and neurons."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikedrive.errors import ConfigError
from spikedrive.interop.nir.package import package
from spikedrive.interop.nir.steps import EveryStep, InputAffine
from spikedrive.interop.nir.writing import KEY, neuron_node
from spikedrive.neurons import IF, LIF, CurrentLIF, get_neuron
from spikedrive.neurons.delta import Accumulate
from spikedrive.ops.surrogate import Surrogate


def from_nir(graph: Any, *, dt: float | None = None, surrogate: Surrogate | None = None) -> nn.Sequential:
    """The chain of nodes in `graph` as an `nn.Sequential` for inputs (T, B, ...).

    A neuron that `to_nir` wrote comes back as it was; any other takes Euler's step of the node's equation, fires
    where h > v_threshold and learns through `surrogate`. Resistances, leaks, thresholds and resets that differ from
    cell to cell become an `InputAffine` in front; time constants must be the same in all cells.

    *Units*: dt in seconds a step; without it what `to_nir` wrote, else 1e-4.
    *Raises*: ConfigError for a graph that is no chain, or a node without a layer here; MissingExtraError.
    """
    package()
    written = graph.metadata.get("dt") if isinstance(graph.metadata, dict) else None
    step = dt if dt is not None else float(written) if written is not None else 1e-4
    layers: list[nn.Module] = []
    for node in _chain(graph):
        kind = type(node).__name__
        if kind not in _READERS:
            raise ConfigError(
                f"from_nir got a node {kind}, which has no layer here; it takes {', '.join(_READERS)}. Replace the "
                "node, or split the graph around it."
            )
        layers += _own(node, step) or _READERS[kind](node, step, surrogate)
    return nn.Sequential(*layers)


def _chain(graph: Any) -> list[Any]:
    """The nodes between input and output, in order."""
    after: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for start, end in graph.edges:
        after[start].append(end)
    starts = list(graph.inputs)
    order = starts[:1]
    while order and len(after[order[-1]]) == 1 and after[order[-1]][0] not in order:
        order.append(after[order[-1]][0])
    if len(starts) != 1 or len(order) != len(graph.nodes) or order[-1] not in graph.outputs:
        raise ConfigError(
            f"from_nir got a graph of {len(graph.nodes)} nodes that branches, joins or returns; it takes one chain "
            f"from an input to an output, and followed it over {len(order)} of them. Read the parts one by one."
        )
    return [graph.nodes[name] for name in order[1:-1]]


def _own(node: Any, dt: float) -> list[nn.Module]:
    """The neuron that was written, as long as the node still says the same."""
    note = (node.metadata or {}).get(KEY)
    if note is None:
        return []
    said = json.loads(note if isinstance(note, str) else bytes(note))
    name, (form, alpha) = said.pop("name"), said.pop("surrogate")
    neuron = get_neuron(name)(**said, surrogate=Surrogate(form, alpha))
    again = neuron_node(neuron, node.v_threshold.shape, dt)
    keys = [key for key, value in vars(again).items() if isinstance(value, np.ndarray)]
    return [neuron] if all(np.array_equal(getattr(again, key), getattr(node, key)) for key in keys) else []


def _linear(node: Any, *_: Any) -> list[nn.Module]:
    weight, bias = torch.tensor(node.weight), getattr(node, "bias", None)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
    return [_loaded(layer, weight, bias)]


def _convolution(node: Any, *_: Any) -> list[nn.Module]:
    weight = torch.tensor(node.weight)
    make: Any = nn.Conv2d if weight.dim() == 4 else nn.Conv1d
    layer = make(
        weight.shape[1] * int(node.groups), weight.shape[0], tuple(weight.shape[2:]), _sizes(node.stride),
        _sizes(node.padding), _sizes(node.dilation), int(node.groups), dtype=weight.dtype,
    )  # fmt: skip
    return [EveryStep(_loaded(layer, weight, node.bias))]


def _loaded(layer: Any, weight: Tensor, bias: Any) -> nn.Module:
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    return layer


def _pool(node: Any, *_: Any) -> list[nn.Module]:
    kernel = _sizes(node.kernel_size)
    layer: nn.Module = nn.AvgPool2d(kernel, _sizes(node.stride), _sizes(node.padding))
    if type(node).__name__ == "SumPool2d":
        layer = nn.AvgPool2d(kernel, _sizes(node.stride), _sizes(node.padding), divisor_override=1)
    return [EveryStep(layer)]


def _flatten(node: Any, *_: Any) -> list[nn.Module]:
    end = int(node.end_dim)
    return [nn.Flatten(int(node.start_dim) + 2, end if end < 0 else end + 2)]


def _scale(node: Any, *_: Any) -> list[nn.Module]:
    gain = torch.tensor(node.scale)
    return [InputAffine(gain, torch.zeros_like(gain))]


def _integrator(node: Any, dt: float, _: Any) -> list[nn.Module]:
    return [*_driven(node.r * dt, 0 * node.r), Accumulate()]


def _if(node: Any, dt: float, surrogate: Surrogate | None) -> list[nn.Module]:
    threshold, reset, unit = _membrane(node)
    return [
        *_driven(node.r * dt / unit, 0 * unit),
        IF(threshold, reset_value=reset, strict=True, surrogate=surrogate),
    ]


def _lif(node: Any, dt: float, surrogate: Surrogate | None) -> list[nn.Module]:
    tau = _one(node.tau, "tau")
    if tau < dt:
        raise ConfigError(
            f"from_nir got tau {tau:g} s and a step of {dt:g} s; it takes steps of at most tau. Give a smaller dt."
        )
    decay = 1 - dt / tau
    threshold, reset, unit = _membrane(node)
    gain, offset = node.r / unit, (node.v_leak - node.v_reset) / unit
    # without decay_input the neuron itself takes 1 / (1 - decay) for its resistance
    whole = _is_one(gain * (1 - decay)) and not offset.any()
    neuron = LIF(decay, threshold, decay_input=not whole, reset_value=reset, strict=True, surrogate=surrogate)
    return [neuron] if whole else [*_driven(gain, offset), neuron]


def _current_based(node: Any, dt: float, surrogate: Surrogate | None) -> list[nn.Module]:
    synapse, membrane = _one(node.tau_syn, "tau_syn"), _one(node.tau_mem, "tau_mem")
    if min(synapse, membrane) < dt:
        raise ConfigError(
            f"from_nir got time constants of {synapse:g} s and {membrane:g} s and a step of {dt:g} s; it takes steps "
            "of at most either. Give a smaller dt."
        )
    if (node.v_leak != node.v_reset).any():
        raise ConfigError(
            "from_nir got a CubaLIF whose v_leak is not its v_reset; it takes one value for both. Move the membrane, "
            "threshold included, so that they agree."
        )
    threshold, reset, unit = _membrane(node)
    gain = node.r * (dt / membrane) * node.w_in * (dt / synapse) / unit
    neuron = CurrentLIF(
        1 - dt / synapse, 1 - dt / membrane, threshold, reset_value=reset, strict=True, surrogate=surrogate
    )
    return [*_driven(gain, 0 * gain), neuron]


def _membrane(node: Any) -> tuple[float, float, Any]:
    """Threshold, reset, and the unit in which the membrane is counted.

    Where they differ from cell to cell the unit is the way from reset to threshold, and the membrane starts at 0.
    """
    threshold, reset = node.v_threshold.astype(np.float64), node.v_reset.astype(np.float64)
    if np.ptp(threshold) == 0 and np.ptp(reset) == 0:
        return float(threshold.flat[0]), float(reset.flat[0]), np.ones_like(threshold)
    return 1.0, 0.0, threshold - reset


def _is_one(values: Any) -> bool:
    # as near as fp32 tells
    return bool(np.allclose(values, 1, rtol=1e-6, atol=0))


def _driven(gain: Any, offset: Any) -> list[nn.Module]:
    if _is_one(gain) and not offset.any():
        return []
    return [InputAffine(torch.tensor(gain, dtype=torch.float32), torch.tensor(offset, dtype=torch.float32))]


def _one(values: Any, name: str) -> float:
    if np.ptp(values) != 0:
        raise ConfigError(
            f"from_nir got {name} from {values.min():g} to {values.max():g} in one node; it takes one {name} for all "
            "cells. Split the node by its time constants."
        )
    return float(values.flat[0])


def _sizes(value: Any) -> Any:
    if isinstance(value, (str, bytes)):
        return value if isinstance(value, str) else value.decode()
    sizes = tuple(int(n) for n in np.ravel(value))
    return sizes[0] if len(sizes) == 1 else sizes


_READERS: dict[str, Callable[..., list[nn.Module]]] = {
    "Affine": _linear, "Linear": _linear, "Conv1d": _convolution, "Conv2d": _convolution, "AvgPool2d": _pool,
    "SumPool2d": _pool, "Flatten": _flatten, "Scale": _scale, "I": _integrator, "IF": _if, "LIF": _lif,
    "CubaLIF": _current_based,
}  # fmt: skip
