"""The weighted key-value scan in Triton: one kernel forward, one backward; it saves what `reference` saves."""

from __future__ import annotations

from typing import Any

import torch
import triton.language as tl
from torch import Tensor

from spikedrive.ops.precision import wide
from spikedrive.ops.tiles import wkv
from spikedrive.ops.tiles.launch import launch
from spikedrive.ops.wkv import reference


def forward(
    x: Tensor, state: Tensor | None, decay: Tensor, first: Tensor, save: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.forward`."""
    x = x.contiguous()
    tokens, texts, channels = x.shape[0], x.shape[1], x.shape[2] // 2
    begin = reference.rest(x) if state is None else wide(state).contiguous()
    y, last = x.new_empty(tokens, texts, channels), torch.empty_like(begin)
    chunks = -(-tokens // reference.CHUNK)
    saved = begin.new_empty(chunks, *begin.shape) if save else begin.new_empty(0)
    launch(
        wkv.forward, texts * channels, x, begin, wide(decay).contiguous(), wide(first).contiguous(), y, last, saved,
        tokens, texts, channels, constants={"KEEP": save, **_constants(begin)},
    )  # fmt: skip
    return y, last, saved


def backward(
    grad_y: Tensor, grad_last: Tensor | None, x: Tensor, decay: Tensor, first: Tensor, saved: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `reference.backward`."""
    x, grad_y, saved = x.contiguous(), grad_y.contiguous(), saved.contiguous()
    tokens, texts, channels = grad_y.shape
    end = torch.zeros_like(saved[0]) if grad_last is None else wide(grad_last).contiguous()
    grad_x, grad_state = torch.empty_like(x), torch.empty_like(saved[0])
    grad_w, grad_u = (saved.new_empty(texts, channels) for _ in range(2))
    scratch = saved.new_empty(min(tokens, reference.CHUNK), 3, texts * channels)
    launch(
        wkv.backward, texts * channels, grad_y, end, x, wide(decay).contiguous(), wide(first).contiguous(), saved,
        scratch, grad_x, grad_state, grad_w, grad_u, tokens, texts, channels, constants=_constants(saved),
    )  # fmt: skip
    return grad_x, grad_state, grad_w.sum(0).to(decay), grad_u.sum(0).to(first)


def _constants(state: Tensor) -> dict[str, Any]:
    return {"CHUNK": reference.CHUNK, "REAL": tl.float64 if state.dtype == torch.float64 else tl.float32}
