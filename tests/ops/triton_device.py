"""Where the Triton kernels are tested: on the GPU where there is one, else in Triton's interpreter on the CPU."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
KERNELS = ("slopes", "leaky", "integers", "ternary", "wkv")


def prepare() -> None:
    """Import the kernels as they must be.

    Triton decides where it decorates a function whether that will be interpreted. And it reads the source of a
    function, which the hook that executes annotations has rewritten: kernels have none, and are imported past it.
    """
    if DEVICE == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
    finders = sys.meta_path[:]
    sys.meta_path[:] = [f for f in finders if not type(f).__module__.startswith("jaxtyping")]
    try:
        for name in KERNELS:
            import_module(f"spikedrive.ops.tiles.{name}")
    finally:
        sys.meta_path[:] = finders
