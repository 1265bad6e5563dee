"""Spiking networks that train like any PyTorch model, provably need additions only, and run event-driven.

Every public name is loaded on first use, so that `spikedrive.engine.runtime` needs numpy only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "create_model": "spikedrive.models",
    "list_models": "spikedrive.models",
    "from_reference": "spikedrive.models",
    "load_model": "spikedrive.models",
    "save_model": "spikedrive.models",
    "ModelCard": "spikedrive.models",
    "fuse": "spikedrive.blocks",
    "run": "spikedrive.state",
    "Stateful": "spikedrive.state",
    "Stream": "spikedrive.state",
    "recompute": "spikedrive.state",
    "Recipe": "spikedrive.training",
    "train": "spikedrive.training",
    "audit": "spikedrive.auditing",
    "Audit": "spikedrive.auditing",
    "unroll": "spikedrive.transforms",
    "verify_unrolled": "spikedrive.transforms",
    "make_additive": "spikedrive.transforms",
    "compile": "spikedrive.engine.lower",
    "load": "spikedrive.engine",
    "SpikedriveError": "spikedrive.errors",
}
_PACKAGES = {
    "auditing", "blocks", "data", "encoders", "engine", "errors", "interop", "models", "neurons", "ops", "recipes",
    "reports", "state", "tasks", "training", "transforms",
}  # fmt: skip

PLUGINS = ("spikedrive.interop.libraries",)
"""What registers itself with a lower layer when it is imported, for those that look things up there."""

if TYPE_CHECKING:
    from spikedrive.auditing import Audit, audit
    from spikedrive.blocks import fuse
    from spikedrive.engine import load
    from spikedrive.engine.lower import compile
    from spikedrive.errors import SpikedriveError
    from spikedrive.models import ModelCard, create_model, from_reference, list_models, load_model, save_model
    from spikedrive.state import Stateful, Stream, recompute, run
    from spikedrive.training import Recipe, train
    from spikedrive.transforms import make_additive, unroll, verify_unrolled

__all__ = [
    "Audit", "ModelCard", "Recipe", "SpikedriveError", "Stateful", "Stream", "audit", "compile",
    "create_model", "from_reference", "fuse", "list_models", "load", "load_model", "make_additive",
    "recompute", "run", "save_model", "train", "unroll", "verify_unrolled",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(f"spikedrive.{name}")
    raise AttributeError(f"module 'spikedrive' has no attribute {name!r}; public names: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_PACKAGES, "__version__"})
