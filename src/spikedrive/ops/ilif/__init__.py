"""The integer integrate-and-fire scan as one `torch.library` node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.ops import checks, implementation, layout, node
from spikedrive.ops.compiled import Compiled
from spikedrive.ops.domain import Binary, Domain, Integer
from spikedrive.ops.ilif import eager, native, reference
from spikedrive.ops.ilif.options import SCHEMA, Options


def ilif_scan(
    x: Float[Tensor, "T B *S"],
    v: Float[Tensor, "B *S"] | None = None,
    *,
    levels: int,
    decay: float = 0.0,
    threshold: float = 1.0,
    decay_input: bool = False,
    half_even: bool = True,
    closed_gate: bool = True,
    repeats: int = 1,
    scale: float = 1.0,
    detach_reset: bool = True,
) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "..."]]:
    """Integers 0..levels times `scale`, and the membrane after the last step.

    Without `v` nothing is carried from step to step and the returned membrane is empty.

    Equation: see `spikedrive.ops.ilif.reference`.
    Shapes: x (T, B, ...), v (B, ...) -> (T, B, ...), (B, ...) or (0,).
    Raises: ShapeError, DtypeError.
    """
    checks.scan_input("ilif_scan", x, v)
    save = torch.is_grad_enabled() and (x.requires_grad or (v is not None and v.requires_grad))
    y, last, _ = _scan(
        x,
        v,
        levels,
        decay,
        threshold,
        decay_input,
        half_even,
        closed_gate,
        repeats,
        scale,
        save,
        detach_reset,
    )
    return y, last


_compiled = Compiled(reference)


def _implementation(x: Tensor, v: Tensor | None, repeats: int) -> str:
    """`native`, `triton`, `eager`, `compiled` or `reference`."""
    name = implementation.choose(x, triton_covers=True)
    plain = name in ("compiled", "reference")
    return "eager" if plain and eager.applies(x, v, repeats) else name


def _module(name: str) -> Any:
    """The implementation of that name."""
    if name == "triton":
        return implementation.triton_of(__name__)
    return {"native": native, "compiled": _compiled}.get(name, reference)


def _forward(x: Tensor, v: Tensor | None, *options: Any) -> tuple[Tensor, Tensor, Tensor]:
    o = Options(*options)
    name = _implementation(x, v, o.repeats)
    if name == "eager":
        y = eager.forward(x, o.levels, o.threshold, o.half_even, o.scale)
        last, saved = x.new_empty(0), x.new_empty(0, dtype=torch.bool)
    else:
        y, last, saved = _module(name).forward(x, v, o)
    strides = native.arranged(x, o, v is not None).stride()
    return layout.like(y, strides), last if v is None else layout.like(last, strides[1:]), saved


def _fake(x: Tensor, v: Tensor | None, *options: Any) -> tuple[Tensor, Tensor, Tensor]:
    o = Options(*options)
    name = _implementation(x, v, o.repeats)
    x = native.arranged(x, o, v is not None)
    last = x.new_empty(0) if v is None else x.new_empty_strided(x.shape[1:], x.stride()[1:])
    if name in ("native", "triton"):
        saved = native.gates_like(x, o.repeats) if o.save else x.new_empty(0, dtype=torch.uint8)
    else:
        whole = o.save and name != "eager"
        saved = x.new_empty((x.shape[0] * o.repeats, *x.shape[1:]) if whole else 0, dtype=torch.bool)
    return torch.empty_like(x), last, saved


def _setup(ctx: Any, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
    x, v, *options = inputs
    ctx.options, ctx.carry = options, v is not None
    # the eager form reads its gates off the input
    from_input = _implementation(x, v, Options(*ctx.options).repeats) == "eager"
    ctx.save_for_backward(x if from_input else outputs[2])
    ctx.shape, ctx.strides = outputs[0].shape, outputs[0].stride()


def _backward(ctx: Any, grad_y: Any, grad_last: Any, _grad_saved: None) -> Any:
    (saved,) = ctx.saved_tensors
    if grad_y is None:
        grad_y = saved.new_zeros(ctx.shape, dtype=grad_last.dtype)
    grad_x, grad_v = _pull_back(grad_y, grad_last, saved, ctx.strides, ctx.carry, *ctx.options)
    return grad_x, grad_v if ctx.carry else None, *([None] * 10)


def _pullback(
    grad_y: Tensor,
    grad_last: Tensor | None,
    saved: Tensor,
    strides: Sequence[int | torch.SymInt],
    carry: bool,
    *options: Any,
) -> tuple[Tensor, Tensor]:
    o, strides = Options(*options), tuple(strides)
    grad_y = layout.like(grad_y, strides)
    if saved.dtype == torch.uint8:
        # bits, which both of those that save them read
        on_triton = grad_y.is_cuda or implementation.choose(grad_y, triton_covers=True) == "triton"
        return _module("triton" if on_triton else "native").backward(grad_y, grad_last, saved, carry, o)
    if saved.dtype == torch.bool:
        made = implementation.choose(grad_y, triton_covers=True) == "compiled"
        grad_x, grad_v = (_compiled if made else reference).backward(grad_y, grad_last, saved, carry, o)
    else:
        grad_x = eager.backward(grad_y, saved, o.levels, o.threshold, o.closed_gate, o.scale)
        grad_v = grad_x.new_empty(0)
    return layout.like(grad_x, strides), layout.like(grad_v, strides[1:]) if carry else grad_v


def _fake_pullback(
    grad_y: Tensor,
    _grad_last: Any,
    _saved: Tensor,
    strides: Sequence[int | torch.SymInt],
    carry: bool,
    *_options: Any,
) -> tuple[Tensor, Tensor]:
    shape = grad_y.shape
    grad_v = grad_y.new_empty_strided(shape[1:], strides[1:]) if carry else grad_y.new_empty(0)
    return grad_y.new_empty_strided(shape, strides), grad_v


def _domain(arguments: Mapping[str, Any]) -> Domain:
    high = arguments["levels"] * arguments["repeats"]
    unit = arguments["scale"] / arguments["repeats"]
    return Binary(unit) if high == 1 else Integer(high, unit)


_scan = node.define(
    "ilif_scan",
    f"(Tensor x, Tensor? v, {SCHEMA}) -> (Tensor, Tensor, Tensor)",
    forward=_forward,
    fake=_fake,
    decomposition=lambda x, v, *options: reference.forward(x, v, Options(*options)),
    setup=_setup,
    backward=_backward,
    domain=_domain,
)

_pull_back = node.define_pullback(
    "ilif_scan_pullback",
    f"(Tensor grad_y, Tensor? grad_last, Tensor saved, SymInt[] strides, bool carry, {SCHEMA}) -> (Tensor, Tensor)",
    forward=_pullback,
    fake=_fake_pullback,
)
