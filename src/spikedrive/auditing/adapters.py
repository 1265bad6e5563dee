"""Models of other libraries: what turns them into ours before the audit."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from torch import nn

import spikedrive
from spikedrive.registry import Registry

Adapter = Callable[[nn.Module], nn.Module | None]
"""Gives an equal model built of our neurons, or None where the model is not of its library."""

ADAPTERS: Registry[Adapter] = Registry("audit adapter")


def register_adapter(name: str, adapter: Adapter) -> Adapter:
    """Let `audit` offer every model to `adapter` first."""
    return ADAPTERS.add(name, adapter)


def adapted(model: nn.Module) -> nn.Module:
    """The model, or what the first adapter that knows it gives."""
    for module in spikedrive.PLUGINS:
        importlib.import_module(module)
    for name in ADAPTERS:
        other = ADAPTERS[name](model)
        if other is not None:
            return other
    return model
