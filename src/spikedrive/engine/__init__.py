"""The engine: an audited model as an integer program, and two ways to prove that both say the same.

Every name is loaded on first use: `spikedrive.engine.runtime` needs numpy only, compiling needs torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikedrive.engine.lower import compile
    from spikedrive.engine.runtime import Meta, Program, Result, load
    from spikedrive.engine.stream import State, Stream
    from spikedrive.engine.twin import Twin
    from spikedrive.engine.verify import Verification

_HOME = {
    "Meta": "runtime", "Program": "runtime", "Result": "runtime", "load": "runtime", "compile": "lower",
    "State": "stream", "Stream": "stream", "Twin": "twin", "Verification": "verify",
}  # fmt: skip

__all__ = ["Meta", "Program", "Result", "State", "Stream", "Twin", "Verification", "compile", "load"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"spikedrive.engine.{_HOME[name]}"), name)
    raise AttributeError(f"module 'spikedrive.engine' has no attribute {name!r}; it has {', '.join(__all__)}")
