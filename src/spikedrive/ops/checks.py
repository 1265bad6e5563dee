"""What every neuron scan accepts."""

from __future__ import annotations

import torch
from torch import Tensor

from spikedrive.errors import DtypeError, ShapeError


def scan_input(name: str, x: Tensor, v: Tensor | None) -> None:
    """Raise unless x is (T, B, ...) floating point with T >= 1 and v is (B, ...) of the same dtype."""
    if x.dim() < 2 or x.shape[0] < 1:
        raise ShapeError(
            f"{name} got x of shape {tuple(x.shape)}; it takes (T, B, ...) with T >= 1. "
            "Encode first: encoders.Direct(steps=4)(x)."
        )
    if not torch.is_floating_point(x):
        raise DtypeError(f"{name} got x of dtype {x.dtype}; it takes floating point. Convert with x.float().")
    if v is None:
        return
    if v.shape != x.shape[1:]:
        raise ShapeError(
            f"{name} got a membrane of shape {tuple(v.shape)} for x of shape {tuple(x.shape)}; "
            f"it takes {tuple(x.shape[1:])}. A state belongs to one batch size: start again with state=None."
        )
    if v.dtype != x.dtype:
        raise DtypeError(f"{name} got x of dtype {x.dtype} and a membrane of dtype {v.dtype}; they must agree. "
                         f"Convert the state with .to({x.dtype}).")  # fmt: skip


def cell_input(name: str, x: Tensor, inputs: int) -> None:
    """Raise unless x is (T, B, ..., inputs) floating point with T >= 1."""
    scan_input(name, x, None)
    if x.dim() < 3 or x.shape[-1] != inputs:
        raise ShapeError(
            f"{name} got x of shape {tuple(x.shape)}; it takes (T, B, ..., {inputs}). Give it that many, or make "
            "one for those that there are."
        )
