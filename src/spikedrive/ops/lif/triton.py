"""The leaky scan in Triton: one kernel forward, one backward; what is saved is what `native` saves."""

from __future__ import annotations

from typing import Any

import torch
import triton.language as tl
from torch import Tensor

from spikedrive.ops import layout
from spikedrive.ops.lif.native import BITS, FULL, HALF, NONE, saved_like, saving
from spikedrive.ops.lif.options import Options
from spikedrive.ops.tiles import leaky
from spikedrive.ops.tiles.launch import blocks, launch
from spikedrive.ops.tiles.slopes import LEVELS, SLOPES


def forward(x: Tensor, v: Tensor | None, o: Options) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.forward`; the third is what `backward` reads."""
    x = layout.by_steps(x)
    saved = saved_like(x, o) if o.save else x.new_empty(0)
    spikes, last, _ = run(x, v, None, o, saving(o, x.dtype) if o.save else NONE, saved)
    return spikes, last if o.keep_last else x.new_empty(0), saved


def backward(
    grad_spikes: Tensor,
    grad_last: Tensor | None,
    saved: Tensor,
    x: Tensor | None,
    v: Tensor | None,
    o: Options,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.backward`; grad_spikes has the strides of the scan's x."""
    mode = saving(o, grad_spikes.dtype)
    if o.learned:
        assert x is not None
        x, mode = layout.by_steps(x), FULL
        # of which nothing was saved
        saved = x.new_empty(x.shape, dtype=torch.float64 if x.dtype == torch.float64 else torch.float32)
        run(x, v, None, o, mode, saved)
    grad_x, grad_v, _, grad_decay = run_back(grad_spikes, grad_last, None, saved, x, v, o, mode)
    return grad_x, grad_v, grad_decay


def run(
    x: Tensor,
    v: Tensor | None,
    c: Tensor | None,
    o: Options,
    mode: int,
    saved: Tensor,
    synapse: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes, last membrane and last synaptic current (empty without `synapse`, its decay a step).

    Fills `saved` as `mode` says. The steps of x are dense.
    """
    strides = x.stride()[1:]
    v = None if v is None else layout.like(v, strides)
    c = None if c is None else layout.like(c, strides)
    spikes, last = torch.empty_like(x), x.new_empty_strided(x.shape[1:], strides)
    last_c = x.new_empty(0) if synapse is None else torch.empty_like(last)
    steps = x.shape[0]
    launch(
        leaky.forward, x.numel() // steps, x, v, c, _pointer(o), spikes, last, last_c, _words(saved, mode), steps,
        constants=_constants(o, x.dtype, mode, synapse),
    )  # fmt: skip
    return spikes, last, last_c


def run_back(
    grad_spikes: Tensor,
    grad_last: Tensor | None,
    grad_last_c: Tensor | None,
    saved: Tensor,
    x: Tensor | None,
    v: Tensor | None,
    o: Options,
    mode: int,
    synapse: float | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, of the first membrane, of the first current (empty without `synapse`) and of decay."""
    steps, strides = grad_spikes.shape[0], grad_spikes.stride()[1:]
    size = grad_spikes.numel() // steps
    grad_last = None if grad_last is None else layout.like(grad_last, strides)
    grad_last_c = None if grad_last_c is None else layout.like(grad_last_c, strides)
    v = None if v is None else layout.like(v, strides)
    grad_x = torch.empty_like(grad_spikes)
    grad_v = grad_spikes.new_empty_strided(grad_spikes.shape[1:], strides) if o.grad_v_wanted else None
    grad_c = None if synapse is None else grad_spikes.new_empty_strided(grad_spikes.shape[1:], strides)
    # a sum a program, added up afterwards: the same total every time
    sums = saved.new_zeros(blocks(size)) if o.learned else None
    row = 2 * ((size + 7) // 8) if mode == BITS else size
    launch(
        leaky.backward, size, grad_spikes, grad_last, grad_last_c, _words(saved, mode), x if o.learned else None, v,
        _pointer(o), grad_x, grad_v, grad_c, sums, steps, (steps - 1) * size, (steps - 1) * row,
        constants=_constants(o, grad_spikes.dtype, mode, synapse) | {"DETACH": o.detach_reset},
    )  # fmt: skip
    none = grad_spikes.new_empty(0)
    total = grad_spikes.new_zeros(()) if sums is None else sums.sum()
    return grad_x, none if grad_v is None else grad_v, none if grad_c is None else grad_c, total


def _constants(o: Options, dtype: torch.dtype, mode: int, synapse: float | None) -> dict[str, Any]:
    high, low = LEVELS[o.surrogate](o.alpha) if o.surrogate in LEVELS else (1.0, 0.0)
    return {
        "DECAY": None if o.learned else o.decay, "DECAY_INPUT": o.decay_input, "THRESHOLD": o.threshold,
        "STRICT": o.strict, "HARD": o.hard_reset, "RESET": o.reset_value, "DELAYED": o.delayed_reset,
        "SYNAPSE": synapse, "SAVE": mode, "SLOPE": SLOPES[o.surrogate], "ALPHA": o.alpha, "HIGH": high, "LOW": low,
        "REAL": tl.float64 if dtype == torch.float64 else tl.float32,
    }  # fmt: skip


def _pointer(o: Options) -> Tensor | None:
    return o.decay if isinstance(o.decay, Tensor) else None


def _words(saved: Tensor, mode: int) -> Tensor:
    # the kernel rounds by itself, and keeps the spike in the sign
    return saved.view(torch.int16) if mode == HALF else saved
