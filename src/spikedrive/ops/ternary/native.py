"""The ternary scan on the compiled module: one call forward, one backward, no tensor a step.

What it saves for the backward pass, for float32 and bfloat16 input:

| the slope of s | compact | full |
|---|---|---|
| takes two values: a window, or a surrogate of two values that holds h at one threshold at most | two bits, exact | h |
| any other that is never negative | itself in float16, whose sign bit holds whether the neuron fired | h |
| beside a hard reset that is not detached, which needs h | h | h |

h takes float32. Whether a spike was positive is not read again, so it is not kept. A float16 slope is within 2^-11 of
the exact one, so every term of a gradient is within 5e-4 of its own size. float64 saves h in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spikedrive import native
from spikedrive.ops import layout
from spikedrive.ops.lif.native import BITS, FULL, HALF, NONE, SURROGATES, TWO_VALUES, address, shape_of
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
    """How the backward pass is served; see the table above."""
    if dtype == torch.float64 or not o.compact or (o.hard_reset and not o.detach_reset):
        return FULL
    if o.window > 0 or (o.surrogate in TWO_VALUES and not _windows_meet(o)):
        return BITS
    # a slope that float16 would round coarsely, or that has a sign of its own; of an alpha of 0 it is none of these
    coarse = o.alpha != 0 and not 2**-10 <= o.alpha <= 2**10
    return FULL if o.surrogate == "fourier" or coarse else HALF


def saved_like(x: Tensor, o: Options) -> Tensor:
    """An empty tensor such as `forward` saves for x."""
    mode, steps = saving(o, x.dtype), x.shape[0]
    size = x.numel() // steps
    if mode == BITS:
        return x.new_empty((steps, 2, (size + 7) // 8), dtype=torch.uint8)
    full = torch.float64 if x.dtype == torch.float64 else torch.float32
    return x.new_empty((steps, size), dtype=torch.float16 if mode == HALF else full)


def _windows_meet(o: Options) -> bool:
    """Whether a surrogate of two values may hold h at one threshold and at both, so that the slope takes three."""
    if o.surrogate == "rectangular_closed":
        # its edge belongs to it, wherever float32 puts it
        return o.alpha / 2 * (1 + 2**-20) >= o.threshold
    bounds = {"rectangular": o.alpha / 2, "leaky_rectangular": o.alpha}
    return bounds.get(o.surrogate, 0) > o.threshold


def _describe(o: Options, dtype: torch.dtype):
    gain = 1 - o.decay if o.decay_input else 1.0
    return native.train.leaky(
        o.decay, gain, (1 - o.decay) * o.reset_value, o.threshold, o.reset_value, o.hard_reset, False, o.detach_reset,
        False, False, 0.0, saving(o, dtype) if o.save else NONE, SURROGATES.index(o.surrogate), o.alpha,
    )  # fmt: skip
