"""The compiled module `_train`: whether it is there, why not, and the instruction set that it uses.

It imports no torch, so that `spikedrive doctor` can ask.
"""

from __future__ import annotations

import importlib
import os
from functools import lru_cache
from types import ModuleType
from typing import Any

from spikedrive.errors import ConfigError, unknown_name

ISAS = ("scalar", "neon", "avx2", "avx512")
"""The instruction sets that the kernels are written for; `SPIKEDRIVE_ISA` forces one."""

train: Any = None
"""The module, or None."""
missing: str = ""
"""Why there is none."""

try:
    # by its name, since a build without a compiler has no such module
    _found: ModuleType | None = importlib.import_module("spikedrive._train")
except ModuleNotFoundError:
    _found = None
    missing = "it was not built: the installation found no C++ compiler. Install one, and spikedrive again"
except ImportError as error:
    _found = None
    missing = f"it was built and does not load ({error}). Install spikedrive again on this machine"
train = _found


def isas() -> list[str]:
    """The instruction sets that the module runs on this processor, the widest last."""
    return [] if train is None else train.isas()


def level() -> int:
    """The place in `isas()` of the one in use: the widest, or what the environment variable SPIKEDRIVE_ISA names.

    Raises: UnknownNameError for a name that is none; ConfigError for one that this machine lacks.
    """
    return _level(os.environ.get("SPIKEDRIVE_ISA"))


@lru_cache
def _level(wanted: str | None) -> int:
    here = isas()
    if not wanted:
        return len(here) - 1
    if wanted not in ISAS:
        raise unknown_name("instruction set", wanted, ISAS)
    if wanted not in here:
        raise ConfigError(
            f"SPIKEDRIVE_ISA got {wanted!r}; this processor runs {', '.join(here)}. Name one of those, or unset it."
        )
    return here.index(wanted)


def summary() -> str:
    """What `spikedrive doctor` says of it."""
    if train is None:
        return f"none: {missing}; neurons run in PyTorch"
    threads = "threads by OpenMP" if train.parallel() else "one thread, built without OpenMP"
    return f"{isas()[level()]} (of {', '.join(isas())}); {threads}"
