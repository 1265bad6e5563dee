"""Which domain each neuron op emits, and what plain PyTorch it stands for.

The audit and the engine look a node up here by its overload name, so a new neuron op
declares itself in its own file and nothing above it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from spikedrive.errors import AuditError
from spikedrive.ops.domain import Domain
from spikedrive.registry import Registry


@dataclass(frozen=True)
class NeuronOp:
    """A neuron op: `domain(arguments)` of its first output, None for real numbers, and its plain PyTorch form."""

    domain: Callable[[Mapping[str, Any]], Domain | None]
    decomposition: Callable[..., Any]


NEURON_OPS: Registry[NeuronOp] = Registry("neuron op")


def declare(
    overload: str,
    domain: Callable[[Mapping[str, Any]], Domain | None],
    *,
    decomposition: Callable[..., Any],
) -> None:
    """Declare the op `namespace.name.overload` as a neuron."""
    NEURON_OPS.add(overload, NeuronOp(domain, decomposition))


def bind(overload: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The op's arguments by their schema names, defaults included."""
    bound: dict[str, Any] = {}
    for position, argument in enumerate(overload._schema.arguments):
        if position < len(args):
            bound[argument.name] = args[position]
        elif argument.name in kwargs:
            bound[argument.name] = kwargs[argument.name]
        elif argument.has_default_value():
            bound[argument.name] = argument.default_value
        else:
            raise AuditError(
                f"{overload} lacks its argument {argument.name!r}; the graph is not valid. Export it again."
            )
    return bound


def decompositions() -> dict[torch._ops.OpOverload, Callable[..., Any]]:
    """For `ExportedProgram.run_decompositions`: each neuron op as plain PyTorch."""
    table = {}
    for name in NEURON_OPS:
        namespace, op, overload = name.split(".")
        table[getattr(getattr(getattr(torch.ops, namespace), op), overload)] = NEURON_OPS[name].decomposition
    return table
