"""The compiled modules `_train` and `_run`: whether they are there, why not, and the instruction sets that they use.

It imports no torch, so that `spikedrive doctor` can ask.
"""

from __future__ import annotations

import importlib
import os
from functools import lru_cache
from typing import Any

from spikedrive.errors import ConfigError, unknown_name

ISAS = ("scalar", "neon", "avx2", "avx512", "avx512vnni")
"""The instruction sets that the kernels are written for; `SPIKEDRIVE_ISA` forces one."""


def _load(name: str) -> tuple[Any, str]:
    """The module of that name, and why there is none."""
    try:
        # by its name, since a build without a compiler has no such module
        return importlib.import_module(f"spikedrive.{name}"), ""
    except ModuleNotFoundError:
        return (
            None,
            "it was not built: the installation found no C++ compiler. Install one, and spikedrive again",
        )
    except ImportError as error:
        return (
            None,
            f"it was built and does not load ({error}). Install spikedrive again on this machine",
        )


train, missing = _load("_train")
run, run_missing = _load("_run")


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
    if wanted == "avx512vnni" and "avx512" in here:
        # the scans multiply no bytes
        wanted = "avx512"
    if wanted not in here:
        raise ConfigError(
            f"SPIKEDRIVE_ISA got {wanted!r}; this processor runs {', '.join(here)}. Name one of those, or unset it."
        )
    return here.index(wanted)


def engine_level() -> str:
    """The instruction set of the engine: the widest here, or what SPIKEDRIVE_ISA names.

    Raises: UnknownNameError for a name that is none; ConfigError for one that this machine lacks.
    """
    here, wanted = run.levels(), os.environ.get("SPIKEDRIVE_ISA")
    if not wanted:
        return here[-1]
    if wanted not in ISAS:
        raise unknown_name("instruction set", wanted, ISAS)
    if wanted not in here:
        raise ConfigError(
            f"SPIKEDRIVE_ISA got {wanted!r}; the engine runs {', '.join(here)} here. Name one of those, or unset it."
        )
    return wanted


def engine_summary() -> str:
    """What `spikedrive doctor` says of the engine."""
    return (
        f"none: {run_missing}; programs run in NumPy"
        if run is None
        else f"{engine_level()} (of {', '.join(run.levels())})"
    )


def summary() -> str:
    """What `spikedrive doctor` says of it."""
    if train is None:
        return f"none: {missing}; neurons run in PyTorch"
    threads = "threads by OpenMP" if train.parallel() else "one thread, built without OpenMP"
    return f"{isas()[level()]} (of {', '.join(isas())}); {threads}"
