"""What the encoders of a static input accept."""

from __future__ import annotations

import torch
from torch import Tensor

from spikedrive.errors import DtypeError, ShapeError, ValueRangeError


def static_input(name: str, x: Tensor) -> None:
    """Raise unless x is (B, ...) floating point."""
    if x.dim() < 1:
        raise ShapeError(f"{name} got x of shape (); it takes (B, ...). Add a batch axis with x[None].")
    if not torch.is_floating_point(x):
        raise DtypeError(f"{name} got x of dtype {x.dtype}; it takes floating point. Convert with x.float().")


def unit_interval(name: str, x: Tensor) -> None:
    """Raise unless x is (B, ...) floating point between 0 and 1."""
    static_input(name, x)
    # an exported or compiled call has no values to look at
    if torch.compiler.is_compiling() or x.numel() == 0:
        return
    low, high = map(float, x.detach().aminmax())
    if not (low >= 0 and high <= 1):
        raise ValueRangeError(
            f"{name} got values from {low:g} to {high:g}; it takes intensities between 0 and 1. Scale the input, "
            "as with (x - x.min()) / (x.max() - x.min())."
        )
