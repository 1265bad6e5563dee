"""What kernels cost, in nanoseconds: built in, or measured on this machine and kept in a file.

The engine takes lists of what fired or dense tiles by them. They decide about time alone: either gives the same
integers.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import time
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spikedrive import native
from spikedrive.errors import FormatError, unknown_name
from spikedrive.files import atomic_write

SOURCES = ("measured", "builtin")
"""What SPIKEDRIVE_COSTS may say; "measured" takes those of the file where it is there."""


def in_use(isa: str) -> dict[str, float]:
    """The costs by which the engine chooses at this instruction set, by name.

    Those that `spikedrive bench --calibrate` left in `file_of(isa)`, unless SPIKEDRIVE_COSTS says "builtin".

    Raises: FormatError for a file that is none; UnknownNameError for another word in SPIKEDRIVE_COSTS.
    """
    path = _measured(isa)
    return read(path, isa) if path else native.run.costs(isa)


def _measured(isa: str) -> Path | None:
    """The file that is asked, where there is one."""
    source = os.environ.get("SPIKEDRIVE_COSTS") or SOURCES[0]
    if source not in SOURCES:
        raise unknown_name("source of costs in SPIKEDRIVE_COSTS", source, SOURCES)
    path = file_of(isa)
    return path if source == "measured" and path.is_file() else None


def file_of(isa: str) -> Path:
    """Where measured costs lie: one file for this processor, instruction set and version of spikedrive.

    Its folder is SPIKEDRIVE_CACHE, or `spikedrive` in XDG_CACHE_HOME, or ~/.cache/spikedrive.
    """
    shared = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("SPIKEDRIVE_CACHE") or Path(shared) / "spikedrive")
    words = re.sub(r"[^a-z0-9.]+", "-", " ".join(_key(isa).values()).lower()).strip("-")
    return folder / f"costs-{words}.json"


def summary() -> str:
    """What `spikedrive doctor` says of them."""
    if native.run is None:
        return "none: there is no engine"
    path = _measured(native.engine_level())
    return (
        f"measured here, in {path}" if path else "built in; spikedrive bench --calibrate measures them here"
    )


def write(costs: Mapping[str, float], isa: str) -> Path:
    """Keep what was measured here; gives the file. Raises: StorageError."""
    path = file_of(isa)
    with atomic_write(path) as temporary:
        text = json.dumps({**_key(isa), "date": time.strftime("%Y-%m-%d"), "costs": dict(costs)}, indent=2)
        temporary.write_text(text + "\n", encoding="utf-8")
    return path


def read(path: Path, isa: str) -> dict[str, float]:
    """The costs in a file that `write` wrote for this machine. Raises: FormatError."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        why = _fault(found, isa)
    except (OSError, ValueError) as error:
        found, why = {}, str(error)
    if why:
        raise FormatError(
            f"{path} holds no costs of this machine's engine ({why}); what `spikedrive bench --calibrate` writes is "
            "accepted. Run that again, or delete the file."
        )
    return {name: float(cost) for name, cost in found["costs"].items()}


def _fault(found: Any, isa: str) -> str:
    """What is wrong with the document, in a few words."""
    if not isinstance(found, dict) or not isinstance(found.get("costs"), dict):
        return "it is another document"
    for key, here in _key(isa).items():
        if found.get(key) != here:
            return f"its {key} is {found.get(key)!r}, here {here!r}"
    missing = sorted(set(native.run.costs(isa)) ^ set(found["costs"]))
    if missing:
        return f"cost {missing[0]!r} is missing or unknown"
    wrong = [name for name, cost in found["costs"].items() if not _is_cost(cost)]
    return f"cost {wrong[0]!r} is {found['costs'][wrong[0]]!r}" if wrong else ""


def _is_cost(cost: Any) -> bool:
    return isinstance(cost, (int, float)) and not isinstance(cost, bool) and math.isfinite(cost) and cost >= 0


def _key(isa: str) -> dict[str, str]:
    return {"cpu": processor(), "isa": isa, "spikedrive": version("spikedrive")}


@lru_cache
def processor() -> str:
    """The name of this machine's processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
