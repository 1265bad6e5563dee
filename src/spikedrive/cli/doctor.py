"""`spikedrive doctor`: what this machine and this installation can do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from pathlib import Path
from typing import Any

import spikedrive
from spikedrive import native
from spikedrive.cli.output import JsonFlag, emit, table
from spikedrive.engine.measure.costs import summary as costs_summary

PACKAGES = ("torch", "numpy", "safetensors", "pydantic", "lightning-fabric", "plotly", "pillow")
COMPILERS = ("c++", "g++", "clang++")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "amx_int8", "asimd")
EXTRAS = {"nir": "nir", "test": "pytest", "check": "ruff", "docs": "mkdocs"}


def verb(as_json: JsonFlag = False) -> None:
    """Say what this machine can do."""
    found = facts()
    rows = [
        [key, ", ".join(map(str, value)) if isinstance(value, list) else value]
        for key, value in found.items()
    ]
    emit(found, table(["what", "here"], rows), as_json)


def facts() -> dict[str, Any]:
    """What there is, found without importing torch."""
    return {
        "spikedrive": spikedrive.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: _version(name) for name in PACKAGES},
        "cores": _cores(),
        "threads": os.environ.get("OMP_NUM_THREADS", _cores()),
        "cpu features": _cpu_features(),
        "gpu": "found" if Path("/dev/nvidia0").exists() else "none",
        "compiler": _first(COMPILERS),
        "neuron kernels": native.summary(),
        "engine": native.engine_summary(),
        "engine costs": costs_summary(),
        "C library": native.c_summary(),
        "browser": _first(BROWSERS),
        "data: fashion_mnist": _folder(
            "/usr/share/datasets/fashion-mnist", "apt install dataset-fashion-mnist"
        ),
        "extras": [
            f"{name} {'installed' if _has(module) else 'not installed'}" for name, module in EXTRAS.items()
        ],
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _cores() -> int:
    # the cores that this process may use, which a container makes fewer than the machine has
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_features() -> list[str]:
    try:
        listing = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return []
    words = set(listing.split())
    return [name for name in CPU_FEATURES if name in words]


def _first(programs: tuple[str, ...]) -> str:
    return next((path for path in map(shutil.which, programs) if path), "none found")


def _folder(path: str, remedy: str) -> str:
    return path if Path(path).is_dir() else f"not found ({remedy})"


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
