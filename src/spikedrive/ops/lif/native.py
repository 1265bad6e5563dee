"""The leaky scan on the compiled module: one call forward, one backward, no tensor a step.

What it saves for the backward pass, for float32 and bfloat16 input:

| | compact | full |
|---|---|---|
| a surrogate of two values (rectangular, ...) | two bits an element, exact | h in float32 |
| any other that is never negative | its slope in float16, whose sign bit holds the spike | h in float32 |
| a hard reset that is not detached, which needs h | h in float32 | h in float32 |
| a learned decay | nothing: h is computed again from x and v | the same |

A float16 slope is within 2^-11 of the exact one, so every term of a gradient is within 5e-4 of its own size
(rounding h - threshold to bfloat16 instead would err eight times as much). float64 saves h in float64.
A bfloat16 scan keeps its membrane in float32 from step to step.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from spikedrive import native
from spikedrive.ops import layout
from spikedrive.ops.implementation import NATIVE_TYPES
from spikedrive.ops.lif.options import Options

NONE, BITS, HALF, FULL = range(4)
"""How the backward pass is served, by the module's own numbers."""

TWO_VALUES = (
    "rectangular",
    "rectangular_closed",
    "leaky_rectangular",
    "relu",
    "heaviside",
    "straight_through",
)
SURROGATES = (
    *TWO_VALUES, "sigmoid", "atan", "triangle", "exponential", "soft_sign", "super_spike", "fast_sigmoid",
    "sparse_fast_sigmoid", "erf", "log_abs", "fourier", "s2nn", "q_pseudo_spike", "log_tailed_relu", "numerical",
    "spike_rate_escape", "tanh_window",
)  # fmt: skip
"""The surrogates that the module knows, by its own numbers."""


def forward(x: Tensor, v: Tensor | None, o: Options) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.forward`; the third is what `backward` reads."""
    x = layout.by_steps(x)
    steps = x.stride()[1:]
    v = None if v is None else layout.like(v, steps)
    spikes = torch.empty_like(x)
    last = x.new_empty_strided(x.shape[1:], steps) if o.keep_last else None
    saved = saved_like(x, o) if o.save else x.new_empty(0)
    native.train.leaky_forward(
        describe(o, x.dtype), *shape_of(x), address(x), address(v), 0, address(spikes), address(last), 0,
        address(saved),
    )  # fmt: skip
    return spikes, x.new_empty(0) if last is None else last, saved


def backward(
    grad_spikes: Tensor,
    grad_last: Tensor | None,
    saved: Tensor,
    x: Tensor | None,
    v: Tensor | None,
    o: Options,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.backward`; grad_spikes has the strides of the scan's x."""
    if o.learned:
        assert x is not None
        x = layout.by_steps(x)
    steps = grad_spikes.stride()[1:]
    grad_last = None if grad_last is None else layout.like(grad_last, steps)
    v = None if v is None else layout.like(v, steps)
    grad_x = torch.empty_like(grad_spikes)
    grad_v = grad_spikes.new_empty_strided(grad_spikes.shape[1:], steps) if o.grad_v_wanted else None
    grad_decay = native.train.leaky_backward(
        describe(o, grad_spikes.dtype), *shape_of(grad_spikes), address(grad_spikes), address(grad_last), 0,
        0 if o.learned else address(saved), address(x), address(v), o.learned, o.decay_input,
        address(grad_x), address(grad_v), 0,
    )  # fmt: skip
    total = grad_x.new_tensor(grad_decay) if o.learned else grad_x.new_empty(())
    return grad_x, grad_x.new_empty(0) if grad_v is None else grad_v, total


def saving(o: Options, dtype: torch.dtype) -> int:
    """How the backward pass is served; see the table above."""
    if o.learned:
        return NONE
    if dtype == torch.float64 or not o.compact:
        return FULL
    if o.hard_reset and not o.detach_reset:
        return FULL
    if o.surrogate in TWO_VALUES:
        return BITS
    # a slope that float16 would round coarsely, or that has a sign of its own
    return FULL if o.surrogate == "fourier" or not 2**-10 <= o.alpha <= 2**10 else HALF


def saved_like(x: Tensor, o: Options) -> Tensor:
    """An empty tensor such as `forward` saves for x."""
    mode, steps = saving(o, x.dtype), x.shape[0]
    size = x.numel() // steps
    if mode == BITS:
        return x.new_empty((steps, 2, (size + 7) // 8), dtype=torch.uint8)
    if mode == NONE:
        return x.new_empty(0)
    full = torch.float64 if x.dtype == torch.float64 else torch.float32
    return x.new_empty((steps, size), dtype=torch.float16 if mode == HALF else full)


def describe(o: Options, dtype: torch.dtype, synapse: float | None = None) -> Any:
    """The options as the module takes them; `synapse` is the decay of a synaptic current, None without one."""
    save = saving(o, dtype) if o.save else NONE
    if isinstance(o.decay, Tensor):
        rest = 1 - o.decay
        # what the module rounds must be what PyTorch rounds, so the products are taken there
        numbers = o.decay.item(), rest.item() if o.decay_input else 1.0, (rest * o.reset_value).item()
        return _leaky.__wrapped__(*numbers, save, synapse, o[1:])
    gain = 1 - o.decay if o.decay_input else 1.0
    return _leaky(o.decay, gain, (1 - o.decay) * o.reset_value, save, synapse, o[1:])


@lru_cache(maxsize=256)
def _leaky(
    decay: float, gain: float, offset: float, save: int, synapse: float | None, rest: tuple[Any, ...]
) -> Any:
    o = Options(decay, *rest)
    return native.train.leaky(
        decay, gain, offset, o.threshold, o.reset_value, o.hard_reset, o.strict, o.detach_reset, o.delayed_reset,
        synapse is not None, synapse or 0.0, save, SURROGATES.index(o.surrogate), o.alpha,
    )  # fmt: skip


def shape_of(x: Tensor) -> tuple[int, int, int, int, int]:
    """Instruction set, steps, elements a step, element type and threads, as the module takes them."""
    steps = x.shape[0]
    return native.level(), steps, x.numel() // steps, NATIVE_TYPES[x.dtype], torch.get_num_threads()


def address(x: Tensor | None) -> int:
    """Where x begins, or 0 for none."""
    return 0 if x is None else x.data_ptr()
