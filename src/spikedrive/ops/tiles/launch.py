"""Starting a kernel over blocks of elements."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BLOCK = 1024


def blocks(size: int) -> int:
    """How many programs `size` elements need."""
    return -(-size // BLOCK)


def launch(kernel: Any, size: int, *arguments: Any, constants: dict[str, Any]) -> None:
    """Run `kernel(*arguments, size, **constants)`, one program a block, on the device of the first argument.

    Products and sums stay apart (`enable_fp_fusion`), so that h is the reference's to the last bit, and
    with it the spikes.
    """
    if size == 0:
        return
    first: Tensor = arguments[0]
    with torch.cuda.device_of(first):
        kernel[(blocks(size),)](*arguments, size, **constants, BLOCK=BLOCK, enable_fp_fusion=False)
