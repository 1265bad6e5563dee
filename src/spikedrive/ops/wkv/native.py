"""The weighted key-value scan on the compiled module: a chunk's states are computed again in the backward pass."""

from __future__ import annotations

import torch
from torch import Tensor

from spikedrive import native
from spikedrive.ops.implementation import NATIVE_TYPES
from spikedrive.ops.lif.native import address
from spikedrive.ops.precision import wide
from spikedrive.ops.wkv import reference


def forward(
    x: Tensor, state: Tensor | None, decay: Tensor, first: Tensor, save: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.forward`."""
    x = x.contiguous()
    tokens, batch, channels = x.shape[0], x.shape[1], x.shape[2] // 2
    w, u = wide(decay).contiguous(), wide(first).contiguous()
    begin = reference.rest(x) if state is None else wide(state).contiguous()
    y, last = x.new_empty(tokens, batch, channels), torch.empty_like(begin)
    chunks = -(-tokens // reference.CHUNK)
    saved = begin.new_empty(chunks, *begin.shape) if save else begin.new_empty(0)
    native.train.wkv_forward(
        native.level(), tokens, batch, channels, reference.CHUNK, NATIVE_TYPES[x.dtype], torch.get_num_threads(),
        address(x), address(begin), address(w), address(u), address(y), address(last),
        address(saved) if save else 0,
    )  # fmt: skip
    return y, last, saved


def backward(
    grad_y: Tensor, grad_last: Tensor | None, x: Tensor, decay: Tensor, first: Tensor, saved: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `reference.backward`."""
    x, grad_y, saved = x.contiguous(), grad_y.to(x.dtype).contiguous(), saved.contiguous()
    tokens, batch, channels = grad_y.shape
    w, u = wide(decay).contiguous(), wide(first).contiguous()
    grad_last = None if grad_last is None else wide(grad_last).contiguous()
    grad_x, grad_state = torch.empty_like(x), torch.empty_like(saved[0])
    grad_w, grad_u = (saved.new_empty(batch, channels) for _ in range(2))
    native.train.wkv_backward(
        native.level(), tokens, batch, channels, reference.CHUNK, NATIVE_TYPES[x.dtype], torch.get_num_threads(),
        address(x), address(saved), address(w), address(u), address(grad_y), address(grad_last), address(grad_x),
        address(grad_state), address(grad_w), address(grad_u),
    )  # fmt: skip
    return grad_x, grad_state, grad_w.sum(0).to(decay), grad_u.sum(0).to(first)
