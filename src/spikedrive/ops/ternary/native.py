"""The ternary scan on the compiled module.

For the backward pass it saves three bits an element (fired, below zero, in the window) where the slope is a
window and the reset needs no membrane, else h; `compact=False` saves h always.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spikedrive import native
from spikedrive.ops import layout
from spikedrive.ops.lif.native import BITS, FULL, NONE, SURROGATES, address, shape_of
from spikedrive.ops.ternary.options import Options


def forward(x: Tensor, v: Tensor | None, o: Options) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.forward`; the third is what `backward` reads."""
    x = layout.by_steps(x)
    strides = x.stride()[1:]
    v = None if v is None else layout.like(v, strides)
    spikes, last = torch.empty_like(x), x.new_empty_strided(x.shape[1:], strides)
    saved = saved_like(x, o) if o.save else x.new_empty(0)
    native.train.ternary_forward(
        _describe(o, x.dtype), o.window, *shape_of(x), address(x), address(v), address(spikes), address(last),
        address(saved),
    )  # fmt: skip
    return spikes, last, saved


def backward(
    grad_spikes: Tensor, grad_last: Tensor | None, saved: Tensor, o: Options
) -> tuple[Tensor, Tensor]:
    """As `reference.backward`; grad_spikes has the strides of the scan's x."""
    grad_x, strides = torch.empty_like(grad_spikes), grad_spikes.stride()[1:]
    grad_v = grad_x.new_empty_strided(grad_x.shape[1:], strides)
    grad_last = None if grad_last is None else layout.like(grad_last, strides)
    native.train.ternary_backward(
        _describe(o, grad_x.dtype), o.window, *shape_of(grad_x), address(grad_spikes), address(grad_last),
        address(saved), address(grad_x), address(grad_v),
    )  # fmt: skip
    return grad_x, grad_v


def saving(o: Options, dtype: torch.dtype) -> int:
    """How the backward pass is served."""
    needs_h = o.hard_reset and not o.detach_reset
    return BITS if o.window > 0 and o.compact and not needs_h and dtype != torch.float64 else FULL


def saved_like(x: Tensor, o: Options) -> Tensor:
    """An empty tensor such as `forward` saves for x."""
    steps = x.shape[0]
    size = x.numel() // steps
    if saving(o, x.dtype) == BITS:
        return x.new_empty((steps, 3, (size + 7) // 8), dtype=torch.uint8)
    return x.new_empty((steps, size), dtype=torch.float64 if x.dtype == torch.float64 else torch.float32)


def _describe(o: Options, dtype: torch.dtype):
    gain = 1 - o.decay if o.decay_input else 1.0
    return native.train.leaky(
        o.decay, gain, (1 - o.decay) * o.reset_value, o.threshold, o.reset_value, o.hard_reset, False, o.detach_reset,
        False, False, 0.0, saving(o, dtype) if o.save else NONE, SURROGATES.index(o.surrogate), o.alpha,
    )  # fmt: skip
