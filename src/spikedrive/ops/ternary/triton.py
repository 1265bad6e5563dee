"""The ternary scan in Triton; what is saved is what `native` saves."""

from __future__ import annotations

from typing import Any

import torch
import triton.language as tl
from torch import Tensor

from spikedrive.ops import layout
from spikedrive.ops.lif.native import BITS, NONE
from spikedrive.ops.ternary.native import saved_like, saving
from spikedrive.ops.ternary.options import Options
from spikedrive.ops.tiles import ternary
from spikedrive.ops.tiles.launch import launch
from spikedrive.ops.tiles.slopes import LEVELS, SLOPES


def forward(x: Tensor, v: Tensor | None, o: Options) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.forward`; the third is what `backward` reads."""
    x = layout.by_steps(x)
    strides, steps = x.stride()[1:], x.shape[0]
    v = None if v is None else layout.like(v, strides)
    spikes, last = torch.empty_like(x), x.new_empty_strided(x.shape[1:], strides)
    saved = saved_like(x, o) if o.save else x.new_empty(0)
    launch(
        ternary.forward, x.numel() // steps, x, v, spikes, last, _words(saved), steps,
        constants=_constants(o, x.dtype) | {"OFFSET": (1 - o.decay) * o.reset_value},
    )  # fmt: skip
    return spikes, last, saved


def backward(
    grad_spikes: Tensor, grad_last: Tensor | None, saved: Tensor, o: Options
) -> tuple[Tensor, Tensor]:
    """As `reference.backward`; grad_spikes has the strides of the scan's x."""
    grad_x, strides, steps = torch.empty_like(grad_spikes), grad_spikes.stride()[1:], grad_spikes.shape[0]
    grad_v = grad_x.new_empty_strided(grad_x.shape[1:], strides)
    grad_last = None if grad_last is None else layout.like(grad_last, strides)
    size = grad_spikes.numel() // steps
    row = 2 * ((size + 7) // 8) if saving(o, grad_spikes.dtype) == BITS else size
    launch(
        ternary.backward, size, grad_spikes, grad_last, _words(saved), grad_x, grad_v, steps,
        (steps - 1) * size, (steps - 1) * row,
        constants=_constants(o, grad_spikes.dtype) | {"DETACH": o.detach_reset},
    )  # fmt: skip
    return grad_x, grad_v


def _constants(o: Options, dtype: torch.dtype) -> dict[str, Any]:
    high, low = _two_slopes(o)
    return {
        "DECAY": o.decay, "GAIN": 1 - o.decay if o.decay_input else 1.0, "THRESHOLD": o.threshold,
        "HARD": o.hard_reset, "RESET": o.reset_value, "WINDOW": o.window,
        "SAVE": saving(o, dtype) if o.save else NONE, "SLOPE": SLOPES[o.surrogate], "ALPHA": o.alpha, "HIGH": high,
        "LOW": low, "REAL": tl.float64 if dtype == torch.float64 else tl.float32,
    }  # fmt: skip


def _two_slopes(o: Options) -> tuple[float, float]:
    """The slopes that one bit tells apart, where there are two."""
    if o.window > 0:
        return 1.0, 0.0
    high, low = LEVELS.get(o.surrogate, lambda _alpha: (0.0, 0.0))(o.alpha)
    # at the other threshold, which holds nothing or everything
    far = high if o.surrogate == "straight_through" else low
    return high + far, low + far


def _words(saved: Tensor) -> Tensor:
    """A slope and whether the neuron fired are stored as one word."""
    return saved.view(torch.int16) if saved.dtype == torch.float16 else saved
