"""The audit: which multiplications a model is left with, and why.

Every name is loaded on first use: reading an audit needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikedrive.auditing.adapters import register_adapter
    from spikedrive.auditing.certificate import Check, check_certificate
    from spikedrive.auditing.energy import TABLES, EnergyTable, read_table
    from spikedrive.auditing.result import Audit, LayerRow, Remaining
    from spikedrive.auditing.verdict import audit

_HOME = {
    "TABLES": "energy", "Audit": "result", "Check": "certificate", "EnergyTable": "energy", "LayerRow": "result",
    "Remaining": "result", "audit": "verdict", "check_certificate": "certificate", "read_table": "energy",
    "register_adapter": "adapters",
}  # fmt: skip

__all__ = [
    "TABLES", "Audit", "Check", "EnergyTable", "LayerRow", "Remaining", "audit", "check_certificate", "read_table",
    "register_adapter",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"spikedrive.auditing.{_HOME[name]}"), name)
    raise AttributeError(
        f"module 'spikedrive.auditing' has no attribute {name!r}; it has {', '.join(__all__)}"
    )
