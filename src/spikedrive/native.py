"""The compiled modules `_train` and `_run`: whether they are there, why not, and the instruction sets that they use.

It imports no torch, so that `spikedrive doctor` can ask.
"""

from __future__ import annotations

import importlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

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


class Paths(NamedTuple):
    """The folders that a C compiler asks for: of `spikedrive.h` (-I) and of the library `spikedrive` (-L)."""

    include: Path
    library: Path


def paths() -> Paths:
    """Where the C header and library of this installation are. Raises: ConfigError where it has no library."""
    library, reason = _c_library()
    if library is None:
        raise ConfigError(
            f"native.paths found no library for C, which a compiled engine has beside it: {reason}."
        )
    return Paths(Path(__file__).parent / "include", library)


def _c_library() -> tuple[Path | None, str]:
    """Its folder, and why there is none."""
    if run is None:
        return None, run_missing
    # beside the module, which an editable installation keeps apart from the sources
    folder = Path(run.__file__).parent / "lib"
    found = any(folder.glob("libspikedrive.*"))
    return (folder, "") if found else (None, "this installation is older than it. Install spikedrive again")


def c_summary() -> str:
    """What `spikedrive doctor` says of the C library."""
    library, reason = _c_library()
    return f"none: {reason}" if library is None else f"{library}; its header: {paths().include}"


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
