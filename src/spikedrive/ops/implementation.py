"""Which implementation of a neuron scan runs: chosen once a call, never a change of meaning."""

from __future__ import annotations

import logging
import os
from functools import lru_cache

import torch
from torch import Tensor

from spikedrive import native
from spikedrive.errors import unknown_name

NAMES = ("auto", "reference", "native", "triton")
"""What `SPIKEDRIVE_IMPL` may say: the fastest there is, plain PyTorch, the CPU's compiled module, or Triton."""

NATIVE_TYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float64: 2}
"""The element types of the compiled module, by its own numbers."""


def choose(x: Tensor, *, native_covers: bool = True, triton_covers: bool = False) -> str:
    """The name of the implementation for `x`, `reference`, `native` or `triton`.

    Raises: UnknownNameError for an unknown SPIKEDRIVE_IMPL.
    """
    forced = os.environ.get("SPIKEDRIVE_IMPL")
    if forced and forced not in NAMES:
        raise unknown_name("implementation", forced, NAMES)
    if forced == "reference":
        return "reference"
    if triton_covers and (forced == "triton" or x.is_cuda):
        return "triton"
    if x.device.type != "cpu" or x.dtype not in NATIVE_TYPES or not native_covers:
        return "reference"
    if native.train is None:
        _say_once(native.missing)
        return "reference"
    return "native"


@lru_cache(maxsize=1)
def _say_once(why: str) -> None:
    logging.getLogger("spikedrive").warning("no native kernels, neurons run in PyTorch: %s", why)
