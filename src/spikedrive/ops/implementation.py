"""Which implementation of an operation runs: chosen once a call, never a change of meaning."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor

from spikedrive import native
from spikedrive.errors import ConfigError, unknown_name
from spikedrive.ops import compiled

NAMES = ("auto", "reference", "compiled", "native", "triton")
"""What `SPIKEDRIVE_IMPL` may say: the fastest there is, plain PyTorch, that under `torch.compile`, the CPU's compiled
module, or Triton."""

NATIVE_TYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float64: 2}
"""The element types of the compiled module, by its own numbers."""

TRITON_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""The element types of the Triton kernels."""


def choose(x: Tensor, *, native_covers: bool = True, triton_covers: bool = False) -> str:
    """The name of the implementation for `x`, `reference`, `compiled`, `native` or `triton`.

    Raises: UnknownNameError for an unknown SPIKEDRIVE_IMPL; ConfigError for Triton on a CPU outside its interpreter.
    """
    forced = _forced()
    if forced == "reference":
        return "reference"
    if forced == "compiled" and x.device.type not in ("cpu", "meta"):
        raise ConfigError(
            f"SPIKEDRIVE_IMPL got 'compiled' for a tensor on {x.device}; the compiled loop runs on the CPU. "
            "Unset SPIKEDRIVE_IMPL, or move the tensor."
        )
    if triton_covers and x.dtype in TRITON_TYPES and (forced == "triton" or x.is_cuda):
        return _triton(x)
    if x.device.type == "cpu" and (forced == "compiled" or native.train is None):
        cause = compiled.unavailable()
        if not cause:
            return "compiled"
        _say_once("; ".join(filter(None, (native.missing, cause))))
        return "reference"
    if x.device.type != "cpu" or x.dtype not in NATIVE_TYPES or not native_covers:
        # a tensor without data asks for shapes only
        if x.device.type != "meta":
            _say_once(
                f"none is written for {x.dtype} on {x.device.type}"
                + ("" if native_covers else " with this surrogate, or a learned decay with a delayed reset")
            )
        return "reference"
    return "native"


def is_native(x: Tensor) -> bool:
    """Whether an operation with one compiled form, for the CPU, takes it for `x`; else it runs in plain PyTorch.

    Raises: UnknownNameError for an unknown SPIKEDRIVE_IMPL.
    """
    if _forced() == "reference" or x.device.type != "cpu":
        return False
    if native.train is None:
        _say_once(native.missing)
    return native.train is not None


def triton_of(package: str) -> ModuleType:
    """The Triton form of a scan, imported where it runs: Triton is large, and many machines have none."""
    return importlib.import_module(f"{package}.triton")


def _forced() -> str | None:
    forced = os.environ.get("SPIKEDRIVE_IMPL")
    if forced and forced not in NAMES:
        raise unknown_name("implementation", forced, NAMES)
    return forced


def _triton(x: Tensor) -> str:
    if not x.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        raise ConfigError(
            f"SPIKEDRIVE_IMPL got 'triton' for a tensor on {x.device}; Triton takes CUDA tensors, and others in its "
            "interpreter only. Unset SPIKEDRIVE_IMPL, or set TRITON_INTERPRET=1."
        )
    if _triton_is_there():
        return "triton"
    _say_once("Triton is not installed. Install spikedrive[triton]")
    return "reference"


@lru_cache(maxsize=1)
def _triton_is_there() -> bool:
    return importlib.util.find_spec("triton") is not None


@lru_cache
def _say_once(why: str) -> None:
    logging.getLogger("spikedrive").warning("no kernels for this, it runs in PyTorch: %s", why)
