"""The leaky integrate-and-fire scan as one `torch.library` node, with a fixed or a learned decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.ops import checks, implementation, layout, node
from spikedrive.ops.compiled import Compiled
from spikedrive.ops.domain import Binary
from spikedrive.ops.lif import native, reference
from spikedrive.ops.lif.options import SCHEMA, Options, check_reset
from spikedrive.ops.surrogate import Surrogate


def lif_scan(
    x: Float[Tensor, "T B *S"],
    v: Float[Tensor, "B *S"] | None = None,
    *,
    decay: float | Float[Tensor, ""],
    threshold: float,
    surrogate: Surrogate,
    decay_input: bool = True,
    hard_reset: bool = True,
    reset_value: float = 0.0,
    strict: bool = False,
    detach_reset: bool = True,
    compact: bool = True,
    delayed_reset: bool = False,
    keep_last: bool = True,
) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "..."]]:
    """Spikes in {0, 1} and the membrane after the last step; without `v` from `reset_value`.

    `compact` lets the fast implementations save rounded values for the backward pass: see
    `spikedrive.ops.lif.native`. Without `keep_last` the membrane comes back empty, which saves writing it.

    Equation: see `spikedrive.ops.lif.reference`.
    Shapes: x (T, B, ...), v (B, ...) -> (T, B, ...), (B, ...).
    Units: x and v in threshold units; decay is the share kept per step.
    Raises: ShapeError, DtypeError; ConfigError for a delayed reset that is not detached.
    """
    checks.scan_input("lif_scan", x, v)
    check_reset("lif_scan", delayed_reset, detach_reset)
    learned = isinstance(decay, Tensor)
    save = torch.is_grad_enabled() and (
        x.requires_grad or (v is not None and v.requires_grad) or (learned and decay.requires_grad)
    )
    scan = _learned_scan if learned else _scan
    spikes, last, _ = scan(
        x, v, decay, threshold, decay_input, hard_reset, reset_value, strict,
        detach_reset, surrogate.name, surrogate.alpha, save, compact, delayed_reset, keep_last,
    )  # fmt: skip
    return spikes, last


_compiled = Compiled(reference)


def _implementation(x: Tensor, o: Options) -> Any:
    """The module that computes this scan."""
    known = o.surrogate in native.SURROGATES
    name = implementation.choose(
        x, native_covers=known and not (o.learned and o.delayed_reset), triton_covers=known
    )
    if name == "triton":
        return implementation.triton_of(__name__)
    return {"native": native, "compiled": _compiled}.get(name, reference)


def _forward(x: Tensor, v: Tensor | None, *options: Any) -> tuple[Tensor, Tensor, Tensor]:
    o = Options(*options)
    spikes, last, saved = _implementation(x, o).forward(x, v, o)
    strides = layout.by_steps(x).stride()
    return layout.like(spikes, strides), layout.like(last, strides[1:]) if o.keep_last else last, saved


def _fake(x: Tensor, v: Tensor | None, *options: Any) -> tuple[Tensor, Tensor, Tensor]:
    o = Options(*options)
    x = layout.by_steps(x)
    saved = _implementation(x, o).saved_like(x, o) if o.save else x.new_empty(0)
    last = x.new_empty_strided(x.shape[1:], x.stride()[1:]) if o.keep_last else x.new_empty(0)
    return torch.empty_like(x), last, saved


def _setup(ctx: Any, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
    x, v, *options = inputs
    o = Options(*options)
    ctx.save_for_backward(
        outputs[2], x if o.learned else None, v if o.learned or o.delayed_reset else None,
        o.decay if o.learned else None,
    )  # fmt: skip
    ctx.options = options[1 if o.learned else 0 :]
    ctx.keeps_last = o.keep_last
    ctx.shape, ctx.strides, ctx.dtype = outputs[0].shape, outputs[0].stride(), outputs[0].dtype


def _backward(ctx: Any, grad_spikes: Any, grad_last: Any, _grad_saved: None) -> Any:
    saved, x, v, decay = ctx.saved_tensors
    # an empty last membrane may come with an empty gradient
    grad_last = grad_last if ctx.keeps_last else None
    wanted = ctx.needs_input_grad[1]
    if grad_spikes is None:
        grad_spikes = saved.new_zeros(ctx.shape, dtype=ctx.dtype)
    if decay is None:
        found = _pull_back(grad_spikes, grad_last, saved, None, v, ctx.strides, wanted, *ctx.options)
    else:
        found = _pull_back_learned(
            grad_spikes, grad_last, saved, x, v, ctx.strides, wanted, decay, *ctx.options
        )
    grad_x, grad_v, grad_decay = found
    return grad_x, grad_v if wanted else None, None if decay is None else grad_decay, *([None] * 12)


def _pullback(
    grad_spikes: Tensor, grad_last: Tensor | None, saved: Tensor, x: Tensor | None, v: Tensor | None,
    strides: Sequence[int | torch.SymInt], grad_v_wanted: bool, *options: Any,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    o = Options(*options)._replace(grad_v_wanted=grad_v_wanted)
    strides = tuple(strides)
    grad_spikes = layout.like(grad_spikes, strides)
    module = _implementation(grad_spikes, o)
    grad_x, grad_v, grad_decay = module.backward(grad_spikes, grad_last, saved, x, v, o)
    grad_v = layout.like(grad_v, strides[1:]) if grad_v_wanted else grad_x.new_empty(0)
    return layout.like(grad_x, strides), grad_v, grad_decay


def _fake_pullback(
    grad_spikes: Tensor, _grad_last: Any, _saved: Any, _x: Any, _v: Any, strides: Sequence[int | torch.SymInt],
    grad_v_wanted: bool, *_options: Any,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    shape = grad_spikes.shape
    grad_v = (
        grad_spikes.new_empty_strided(shape[1:], strides[1:]) if grad_v_wanted else grad_spikes.new_empty(0)
    )
    return grad_spikes.new_empty_strided(shape, strides), grad_v, grad_spikes.new_empty(())


_GRADIENTS = (
    "Tensor grad_spikes, Tensor? grad_last, Tensor saved, Tensor? x, Tensor? v, SymInt[] strides, "
    "bool grad_v_wanted"
)

_KINDS = (("lif_scan", "float"), ("plif_scan", "Tensor"))

_scan, _learned_scan = (
    node.define(
        name,
        f"(Tensor x, Tensor? v, {decay} decay, {SCHEMA}) -> (Tensor, Tensor, Tensor)",
        forward=_forward,
        fake=_fake,
        decomposition=lambda x, v, *options: reference.forward(x, v, Options(*options)),
        setup=_setup,
        backward=_backward,
        domain=lambda _arguments: Binary(),
    )
    for name, decay in _KINDS
)

_pull_back, _pull_back_learned = (
    node.define_pullback(
        f"{name}_pullback",
        f"({_GRADIENTS}, {decay} decay, {SCHEMA}) -> (Tensor, Tensor, Tensor)",
        forward=_pullback,
        fake=_fake_pullback,
    )
    for name, decay in _KINDS
)
