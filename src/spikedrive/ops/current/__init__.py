"""The current-based leaky scan as one `torch.library` node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.ops import checks, implementation, layout, node
from spikedrive.ops.compiled import Compiled
from spikedrive.ops.current import native, reference
from spikedrive.ops.domain import Binary
from spikedrive.ops.lif.options import Options
from spikedrive.ops.surrogate import Surrogate


def current_scan(
    x: Float[Tensor, "T B *S"],
    v: Float[Tensor, "B *S"] | None = None,
    c: Float[Tensor, "B *S"] | None = None,
    *,
    current_decay: float,
    decay: float,
    threshold: float,
    surrogate: Surrogate,
    hard_reset: bool = True,
    reset_value: float = 0.0,
    strict: bool = False,
    detach_reset: bool = True,
    compact: bool = True,
) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "B *S"], Float[Tensor, "B *S"]]:
    """Spikes in {0, 1}, and the membrane and the current after the last step.

    Equation: see `spikedrive.ops.current.reference`.
    Shapes: x (T, B, ...), v and c (B, ...) -> (T, B, ...), (B, ...), (B, ...).
    Raises: ShapeError, DtypeError.
    """
    checks.scan_input("current_scan", x, v)
    checks.scan_input("current_scan", x, c)
    save = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, v, c))
    spikes, last_v, last_c, _ = _scan(
        x, v, c, current_decay, decay, threshold, hard_reset, reset_value, strict, detach_reset, surrogate.name,
        surrogate.alpha, save, compact,
    )  # fmt: skip
    return spikes, last_v, last_c


def _options(
    decay, threshold, hard_reset, reset_value, strict, detach_reset, surrogate, alpha, save, compact=True
):
    return Options(
        decay,
        threshold,
        False,
        hard_reset,
        reset_value,
        strict,
        detach_reset,
        surrogate,
        alpha,
        save,
        compact,
    )


_compiled = Compiled(reference)


def _implementation(x: Tensor, o: Options) -> Any:
    """The module that computes this scan."""
    known = o.surrogate in native.SURROGATES
    name = implementation.choose(x, native_covers=known, triton_covers=known)
    if name == "triton":
        return implementation.triton_of(__name__)
    return {"native": native, "compiled": _compiled}.get(name, reference)


def _forward(
    x: Tensor, v: Tensor | None, c: Tensor | None, current_decay: float, *options: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    o = _options(*options)
    spikes, last_v, last_c, saved = _implementation(x, o).forward(x, v, c, current_decay, o)
    strides = layout.by_steps(x).stride()
    last_v, last_c = (layout.like(last, strides[1:]) for last in (last_v, last_c))
    return layout.like(spikes, strides), last_v, last_c, saved


def _fake(
    x: Tensor, _v: Any, _c: Any, _current_decay: float, *options: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    o = _options(*options)
    x = layout.by_steps(x)
    saved = _implementation(x, o).saved_like(x, o) if o.save else x.new_empty(0)
    last_v, last_c = (x.new_empty_strided(x.shape[1:], x.stride()[1:]) for _ in range(2))
    return torch.empty_like(x), last_v, last_c, saved


def _setup(ctx: Any, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
    ctx.save_for_backward(outputs[3])
    ctx.options, ctx.states = inputs[3:], (inputs[1] is not None, inputs[2] is not None)
    ctx.shape, ctx.strides = outputs[0].shape, outputs[0].stride()


def _backward(ctx: Any, grad_spikes: Any, grad_v: Any, grad_c: Any, _grad_saved: None) -> Any:
    (saved,) = ctx.saved_tensors
    if grad_spikes is None:
        last = grad_c if grad_v is None else grad_v
        grad_spikes = saved.new_zeros(ctx.shape, dtype=last.dtype)
    found = _pull_back(grad_spikes, grad_v, grad_c, saved, ctx.strides, *ctx.options)
    states = (g if given else None for g, given in zip(found[1:], ctx.states, strict=True))
    return found[0], *states, *([None] * 11)


def _pullback(
    grad_spikes: Tensor, grad_v: Tensor | None, grad_c: Tensor | None, saved: Tensor,
    strides: Sequence[int | torch.SymInt], current_decay: float, *options: Any,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    o, strides = _options(*options), tuple(strides)
    grad_spikes = layout.like(grad_spikes, strides)
    module = _implementation(grad_spikes, o)
    grad_x, first_v, first_c = module.backward(grad_spikes, grad_v, grad_c, saved, current_decay, o)
    return layout.like(grad_x, strides), layout.like(first_v, strides[1:]), layout.like(first_c, strides[1:])


def _fake_pullback(
    grad_spikes: Tensor, _v: Any, _c: Any, _saved: Any, strides: Sequence[int | torch.SymInt], *_options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    shape = grad_spikes.shape
    first_v, first_c = (grad_spikes.new_empty_strided(shape[1:], strides[1:]) for _ in range(2))
    return grad_spikes.new_empty_strided(shape, strides), first_v, first_c


_OPTIONS = (
    "float current_decay, float decay, float threshold, bool hard_reset, float reset_value, bool strict, "
    "bool detach_reset, str surrogate, float alpha, bool save, bool compact=True"
)

_scan = node.define(
    "current_scan",
    f"(Tensor x, Tensor? v, Tensor? c, {_OPTIONS}) -> (Tensor, Tensor, Tensor, Tensor)",
    forward=_forward,
    fake=_fake,
    decomposition=lambda x, v, c, current_decay, *options: reference.forward(
        x, v, c, current_decay, _options(*options)
    ),
    setup=_setup,
    backward=_backward,
    domain=lambda _arguments: Binary(),
)

_pull_back = node.define_pullback(
    "current_scan_pullback",
    f"(Tensor grad_spikes, Tensor? grad_v, Tensor? grad_c, Tensor saved, SymInt[] strides, {_OPTIONS}) "
    "-> (Tensor, Tensor, Tensor)",
    forward=_pullback,
    fake=_fake_pullback,
)
