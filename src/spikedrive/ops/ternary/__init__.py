"""The ternary leaky scan as one `torch.library` node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.ops import checks, implementation, layout, node
from spikedrive.ops.compiled import Compiled
from spikedrive.ops.domain import Ternary
from spikedrive.ops.surrogate import Surrogate
from spikedrive.ops.ternary import native, reference
from spikedrive.ops.ternary.options import SCHEMA, Options


def ternary_scan(
    x: Float[Tensor, "T B *S"],
    v: Float[Tensor, "B *S"] | None = None,
    *,
    decay: float,
    threshold: float,
    surrogate: Surrogate,
    window: float = 0.0,
    decay_input: bool = True,
    hard_reset: bool = True,
    reset_value: float = 0.0,
    detach_reset: bool = True,
    compact: bool = True,
) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "B *S"]]:
    """Spikes in {-1, 0, 1} and the membrane after the last step; without `v` from `reset_value`.

    Equation: see `spikedrive.ops.ternary.reference`.
    Shapes: x (T, B, ...), v (B, ...) -> (T, B, ...), (B, ...).
    Raises: ShapeError, DtypeError.
    """
    checks.scan_input("ternary_scan", x, v)
    save = torch.is_grad_enabled() and (x.requires_grad or (v is not None and v.requires_grad))
    spikes, last, _ = _scan(
        x, v, decay, threshold, decay_input, hard_reset, reset_value, detach_reset, window, surrogate.name,
        surrogate.alpha, save, compact,
    )  # fmt: skip
    return spikes, last


_compiled = Compiled(reference)


def _implementation(x: Tensor, o: Options) -> Any:
    """The module that computes this scan."""
    known = o.surrogate in native.SURROGATES
    name = implementation.choose(x, native_covers=known, triton_covers=known)
    if name == "triton":
        return implementation.triton_of(__name__)
    return {"native": native, "compiled": _compiled}.get(name, reference)


def _forward(x: Tensor, v: Tensor | None, *options: Any) -> tuple[Tensor, Tensor, Tensor]:
    o = Options(*options)
    spikes, last, saved = _implementation(x, o).forward(x, v, o)
    strides = layout.by_steps(x).stride()
    return layout.like(spikes, strides), layout.like(last, strides[1:]), saved


def _fake(x: Tensor, _v: Any, *options: Any) -> tuple[Tensor, Tensor, Tensor]:
    o = Options(*options)
    x = layout.by_steps(x)
    saved = _implementation(x, o).saved_like(x, o) if o.save else x.new_empty(0)
    return torch.empty_like(x), x.new_empty_strided(x.shape[1:], x.stride()[1:]), saved


def _setup(ctx: Any, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
    ctx.save_for_backward(outputs[2])
    ctx.options, ctx.carries = inputs[2:], inputs[1] is not None
    ctx.shape, ctx.strides = outputs[0].shape, outputs[0].stride()


def _backward(ctx: Any, grad_spikes: Any, grad_last: Any, _grad_saved: None) -> Any:
    (saved,) = ctx.saved_tensors
    if grad_spikes is None:
        grad_spikes = saved.new_zeros(ctx.shape, dtype=grad_last.dtype)
    grad_x, grad_v = _pull_back(grad_spikes, grad_last, saved, ctx.strides, *ctx.options)
    return grad_x, grad_v if ctx.carries else None, *([None] * 11)


def _pullback(
    grad_spikes: Tensor,
    grad_last: Tensor | None,
    saved: Tensor,
    strides: Sequence[int | torch.SymInt],
    *options: Any,
) -> tuple[Tensor, Tensor]:
    o, strides = Options(*options), tuple(strides)
    grad_spikes = layout.like(grad_spikes, strides)
    grad_x, grad_v = _implementation(grad_spikes, o).backward(grad_spikes, grad_last, saved, o)
    return layout.like(grad_x, strides), layout.like(grad_v, strides[1:])


def _fake_pullback(
    grad_spikes: Tensor, _grad_last: Any, _saved: Any, strides: Sequence[int | torch.SymInt], *_options: Any
) -> tuple[Tensor, Tensor]:
    shape = grad_spikes.shape
    return grad_spikes.new_empty_strided(shape, strides), grad_spikes.new_empty_strided(
        shape[1:], strides[1:]
    )


_scan = node.define(
    "ternary_scan",
    f"(Tensor x, Tensor? v, {SCHEMA}) -> (Tensor, Tensor, Tensor)",
    forward=_forward,
    fake=_fake,
    decomposition=lambda x, v, *options: reference.forward(x, v, Options(*options)),
    setup=_setup,
    backward=_backward,
    domain=lambda _arguments: Ternary(),
)

_pull_back = node.define_pullback(
    "ternary_scan_pullback",
    f"(Tensor grad_spikes, Tensor? grad_last, Tensor saved, SymInt[] strides, {SCHEMA}) -> (Tensor, Tensor)",
    forward=_pullback,
    fake=_fake_pullback,
)
