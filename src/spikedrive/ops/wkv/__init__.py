"""The weighted key-value scan of RWKV as one `torch.library` node."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.errors import ShapeError
from spikedrive.ops import implementation, node
from spikedrive.ops.wkv import native, reference


def wkv_scan(
    x: Float[Tensor, "L B C2"],
    state: Float[Tensor, "B 3 C"] | None,
    decay: Float[Tensor, "C"],
    first: Float[Tensor, "C"],
) -> tuple[Float[Tensor, "L B C"], Float[Tensor, "B 3 C"]]:
    """The decayed mean of the values so far, weighted by exp(key), and the state after the last token.

    Equation: see `spikedrive.ops.wkv.reference`.
    Shapes: x (L, B, 2 C) holds k, then v; state (B, 3, C), None for none; decay (C,) is w <= 0, first (C,) is u.
    Raises: ShapeError.
    """
    if x.shape[-1] != 2 * decay.shape[0] or first.shape != decay.shape or x.shape[0] == 0:
        raise ShapeError(
            f"wkv_scan got x of shape {tuple(x.shape)} for {decay.shape[0]} decays and {first.shape[0]} first weights; "
            "it takes (L, B, 2 C) with at least one token and C of each. Concatenate keys and values."
        )
    save = torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (x, state, decay, first)
    )
    y, last, _ = _scan(x, state, decay, first, save)
    return y, last


def _implementation(x: Tensor) -> Any:
    name = implementation.choose(x, triton_covers=True)
    if name == "triton":
        return implementation.triton_of(__name__)
    return native if name == "native" else reference


def _forward(
    x: Tensor, state: Tensor | None, decay: Tensor, first: Tensor, save: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return _implementation(x).forward(x, state, decay, first, save)


def _fake(x: Tensor, _state: Any, decay: Tensor, _first: Any, save: bool) -> tuple[Tensor, Tensor, Tensor]:
    begin = reference.rest(x)
    saved = begin.new_empty(-(-x.shape[0] // reference.CHUNK), *begin.shape) if save else begin.new_empty(0)
    return x.new_empty(x.shape[0], x.shape[1], decay.shape[0]), begin, saved


def _setup(ctx: Any, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
    x, state, decay, first, _ = inputs
    ctx.save_for_backward(x, decay, first, outputs[2])
    ctx.begun, ctx.shape = state is not None, outputs[0].shape


def _backward(ctx: Any, grad_y: Any, grad_last: Any, _grad_saved: None) -> Any:
    x, decay, first, saved = ctx.saved_tensors
    if grad_y is None:
        grad_y = x.new_zeros(ctx.shape)
    grad_x, grad_state, grad_w, grad_u = _pull_back(grad_y, grad_last, x, decay, first, saved)
    return grad_x, grad_state if ctx.begun else None, grad_w, grad_u, None


def _pullback(
    grad_y: Tensor, grad_last: Tensor | None, x: Tensor, decay: Tensor, first: Tensor, saved: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _implementation(x).backward(grad_y, grad_last, x, decay, first, saved)


def _fake_pullback(
    _y: Any, _last: Any, x: Tensor, decay: Tensor, first: Tensor, saved: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(saved[0]), torch.empty_like(decay), torch.empty_like(first)


_scan = node.define(
    "wkv_scan",
    "(Tensor x, Tensor? state, Tensor decay, Tensor first, bool save) -> (Tensor, Tensor, Tensor)",
    forward=_forward,
    fake=_fake,
    decomposition=reference.forward,
    setup=_setup,
    backward=_backward,
    domain=lambda _arguments: None,
)

_pull_back = node.define_pullback(
    "wkv_scan_pullback",
    "(Tensor grad_y, Tensor? grad_last, Tensor x, Tensor decay, Tensor first, Tensor saved) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
    forward=_pullback,
    fake=_fake_pullback,
)
