"""The current-based leaky scan on the compiled module; it saves what `spikedrive.ops.lif.native` saves."""

from __future__ import annotations

import torch
from torch import Tensor

from spikedrive import native
from spikedrive.ops import layout
from spikedrive.ops.lif.native import SURROGATES, address, describe, saved_like, shape_of
from spikedrive.ops.lif.options import Options

__all__ = ["SURROGATES", "backward", "forward", "saved_like"]


def forward(
    x: Tensor, v: Tensor | None, c: Tensor | None, current_decay: float, o: Options
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `reference.forward`; the last is what `backward` reads."""
    x = layout.by_steps(x)
    strides = x.stride()[1:]
    v, c = (None if state is None else layout.like(state, strides) for state in (v, c))
    spikes = torch.empty_like(x)
    last_v, last_c = (x.new_empty_strided(x.shape[1:], strides) for _ in range(2))
    saved = saved_like(x, o) if o.save else x.new_empty(0)
    native.train.leaky_forward(
        describe(o, x.dtype, current_decay), *shape_of(x), address(x), address(v), address(c), address(spikes),
        address(last_v), address(last_c), address(saved),
    )  # fmt: skip
    return spikes, last_v, last_c, saved


def backward(
    grad_spikes: Tensor,
    grad_v: Tensor | None,
    grad_c: Tensor | None,
    saved: Tensor,
    current_decay: float,
    o: Options,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.backward`; grad_spikes has the strides of the scan's x."""
    strides = grad_spikes.stride()[1:]
    grad_v, grad_c = (None if g is None else layout.like(g, strides) for g in (grad_v, grad_c))
    grad_x = torch.empty_like(grad_spikes)
    first_v, first_c = (grad_x.new_empty_strided(grad_x.shape[1:], strides) for _ in range(2))
    native.train.leaky_backward(
        describe(o, grad_x.dtype, current_decay), *shape_of(grad_x), address(grad_spikes), address(grad_v),
        address(grad_c), address(saved), 0, 0, False, False, address(grad_x), address(first_v), address(first_c),
    )  # fmt: skip
    return grad_x, first_v, first_c
