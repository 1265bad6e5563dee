"""The integer scan on the compiled module: one pass forward, one backward; one bit a charge is kept."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from spikedrive import native
from spikedrive.ops import layout
from spikedrive.ops.ilif.options import Options
from spikedrive.ops.lif.native import address, shape_of


def forward(x: Tensor, v: Tensor | None, o: Options) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.forward`; the gates are bits."""
    carry = v is not None
    x = arranged(x, o, carry)
    y = torch.empty_like(x)
    strides = x.stride()[1:]
    last = x.new_empty_strided(x.shape[1:], strides) if carry else x.new_empty(0)
    v = None if v is None else layout.like(v, strides)
    gates = gates_like(x, o.repeats) if o.save else x.new_empty(0, dtype=torch.uint8)
    native.train.integers_forward(
        _describe(o, carry), *shape_of(x), address(x), address(v), address(y), address(last) if carry else 0,
        address(gates) if o.save else 0,
    )  # fmt: skip
    return y, last, gates


def backward(
    grad_y: Tensor, grad_last: Tensor | None, gates: Tensor, carry: bool, o: Options
) -> tuple[Tensor, Tensor]:
    """Gradients of x (T, B, ...) and, with carry, of v (B, ...); grad_y has the strides of the scan's y."""
    grad_x, strides = torch.empty_like(grad_y), grad_y.stride()[1:]
    grad_v = grad_y.new_empty_strided(grad_y.shape[1:], strides) if carry else grad_y.new_empty(0)
    grad_last = layout.like(grad_last, strides) if carry and grad_last is not None else None
    native.train.integers_backward(
        _describe(o, carry), *shape_of(grad_y), address(grad_y), address(grad_last), address(gates),
        address(grad_x), address(grad_v) if carry else 0,
    )  # fmt: skip
    return grad_x, grad_v


def arranged(x: Tensor, o: Options, carry: bool) -> Tensor:
    """x in an order of memory that the scan can follow; without carry any dense one."""
    return x if not carry and layout.is_dense(x) else layout.by_steps(x)


def gates_like(x: Tensor, repeats: int) -> Tensor:
    """An empty tensor for one bit a charge."""
    steps = x.shape[0]
    return x.new_empty((steps * repeats, (x.numel() // steps + 7) // 8), dtype=torch.uint8)


@lru_cache(maxsize=256)
def _describe(o: Options, carry: bool) -> Any:
    gain = 1 - o.decay if o.decay_input else 1.0
    return native.train.integers(
        o.levels,
        o.repeats,
        o.decay,
        gain,
        o.threshold,
        o.scale,
        carry,
        o.half_even,
        o.closed_gate,
        o.detach_reset,
    )
