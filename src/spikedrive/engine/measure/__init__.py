"""Measuring the engine: a fair race against PyTorch, memory, and every layer beside what the machine can do.

Every name is loaded on first use, since the memory of a program is measured in a process without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikedrive.engine.measure.comparison import (
        RIVALS,
        Progress,
        Row,
        Subject,
        caps,
        check_rivals,
        measure,
        random_subject,
        to_dict,
        trained_subject,
    )

__all__ = [
    "RIVALS", "Progress", "Row", "Subject", "caps", "check_rivals", "measure", "random_subject", "to_dict",
    "trained_subject",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("spikedrive.engine.measure.comparison"), name)
    raise AttributeError(
        f"module 'spikedrive.engine.measure' has no attribute {name!r}; it has {', '.join(__all__)}"
    )
