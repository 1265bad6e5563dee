"""The integer scan in Triton: one pass forward, one backward; one bit a charge is kept, as `native` keeps it."""

from __future__ import annotations

from typing import Any

import torch
import triton.language as tl
from torch import Tensor

from spikedrive.ops import layout
from spikedrive.ops.ilif.native import arranged, gates_like
from spikedrive.ops.ilif.options import Options
from spikedrive.ops.tiles import integers
from spikedrive.ops.tiles.launch import launch


def forward(x: Tensor, v: Tensor | None, o: Options) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.forward`; the gates are bits."""
    carry = v is not None
    x = arranged(x, o, carry)
    y, strides, steps = torch.empty_like(x), x.stride()[1:], x.shape[0]
    last = x.new_empty_strided(x.shape[1:], strides) if carry else x.new_empty(0)
    v = None if v is None else layout.like(v, strides)
    gates = gates_like(x, o.repeats) if o.save else x.new_empty(0, dtype=torch.uint8)
    launch(
        integers.forward, x.numel() // steps, x, v, y, last if carry else None, gates if o.save else None, steps,
        constants=_constants(o, x.dtype)
        | {"LEVELS": o.levels, "HALF_EVEN": o.half_even, "CLOSED": o.closed_gate},
    )  # fmt: skip
    return y, last, gates


def backward(
    grad_y: Tensor, grad_last: Tensor | None, gates: Tensor, carry: bool, o: Options
) -> tuple[Tensor, Tensor]:
    """Gradients of x (T, B, ...) and, with carry, of v (B, ...); grad_y has the strides of the scan's y."""
    grad_x, strides, steps = torch.empty_like(grad_y), grad_y.stride()[1:], grad_y.shape[0]
    grad_v = grad_y.new_empty_strided(grad_y.shape[1:], strides) if carry else grad_y.new_empty(0)
    grad_last = layout.like(grad_last, strides) if carry and grad_last is not None else None
    size = grad_y.numel() // steps
    charges, row = gates.shape
    launch(
        integers.backward, size, grad_y, grad_last, gates, grad_x, grad_v if carry else None,
        steps, (steps - 1) * size, (charges - 1) * row,
        constants=_constants(o, grad_y.dtype) | {"CARRY": carry, "DETACH": o.detach_reset},
    )  # fmt: skip
    return grad_x, grad_v


def _constants(o: Options, dtype: torch.dtype) -> dict[str, Any]:
    return {
        "DECAY": o.decay, "GAIN": 1 - o.decay if o.decay_input else 1.0, "THRESHOLD": o.threshold,
        "REPEATS": o.repeats, "SCALE": o.scale, "REAL": tl.float64 if dtype == torch.float64 else tl.float32,
    }  # fmt: skip
