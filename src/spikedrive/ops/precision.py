"""Half-precision scans keep their membrane in float32 from step to step, in every implementation."""

from __future__ import annotations

from typing import overload

import torch
from torch import Tensor

NARROW = (torch.float16, torch.bfloat16)


@overload
def wide(x: Tensor) -> Tensor: ...
@overload
def wide(x: None) -> None: ...
def wide(x: Tensor | None) -> Tensor | None:
    """x in float32 where its type is narrower."""
    return x.float() if x is not None and x.dtype in NARROW else x


def saved_like(x: Tensor) -> Tensor:
    """An empty tensor for the membranes of x, contiguous."""
    return torch.empty_like(
        x, dtype=torch.float32 if x.dtype in NARROW else x.dtype, memory_format=torch.contiguous_format
    )
