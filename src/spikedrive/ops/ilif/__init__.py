"""The integer integrate-and-fire scan as one `torch.library` node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.ops import checks, node
from spikedrive.ops.domain import Binary, Domain, Integer
from spikedrive.ops.ilif import eager, reference


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
) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "..."]]:
    """Integers 0..levels times `scale`, and the membrane after the last step.

    Without `v` nothing is carried from step to step and the returned membrane is empty.

    Equation: see `spikedrive.ops.ilif.reference`.
    Shapes: x (T, B, ...), v (B, ...) -> (T, B, ...), (B, ...) or (0,).
    Raises: ShapeError, DtypeError.
    """
    checks.scan_input("ilif_scan", x, v)
    save = torch.is_grad_enabled() and (x.requires_grad or (v is not None and v.requires_grad))
    y, last, _ = torch.ops.spikedrive.ilif_scan(
        x, v, levels, decay, threshold, decay_input, half_even, closed_gate, repeats, scale, save
    )
    return y, last


def _forward(x, v, levels, decay, threshold, decay_input, half_even, closed_gate, repeats, scale, save):
    if eager.applies(x, v, repeats):
        y = eager.forward(x, levels, threshold, half_even, scale)
        return y, x.new_empty(0), torch.empty(0, dtype=torch.bool, device=x.device)
    return reference.forward(
        x, v, levels, decay, threshold, decay_input, half_even, closed_gate, repeats, scale, save
    )


def _setup(ctx, inputs, outputs):
    x, v, levels, decay, threshold, decay_input, _even, closed_gate, repeats, scale, _save = inputs
    ctx.from_input = v is None and repeats == 1
    ctx.save_for_backward(x if ctx.from_input else outputs[2])
    ctx.shape = outputs[0].shape
    ctx.gate = (levels, threshold, closed_gate)
    ctx.scan = (decay, threshold, decay_input, v is not None, repeats, scale)


def _backward(ctx, grad_outputs, grad_v, _grad_gates):
    (saved,) = ctx.saved_tensors
    if grad_outputs is None:
        grad_outputs = grad_v.new_zeros(ctx.shape)
    if grad_v is None:
        grad_v = torch.zeros_like(grad_outputs[0])
    if ctx.from_input and eager.applies(saved, None, 1):
        grad_x = eager.backward(grad_outputs, saved, *ctx.gate, scale=ctx.scan[-1])
        return grad_x, *([None] * 10)
    gates = reference.gate(saved, *ctx.gate) if ctx.from_input else saved
    return *reference.backward(grad_outputs, grad_v, gates, *ctx.scan), *([None] * 9)


def _domain(arguments: Mapping[str, Any]) -> Domain:
    high = arguments["levels"] * arguments["repeats"]
    unit = arguments["scale"] / arguments["repeats"]
    return Binary(unit) if high == 1 else Integer(high, unit)


node.define(
    "ilif_scan",
    "(Tensor x, Tensor? v, int levels, float decay, float threshold, bool decay_input, "
    "bool half_even, bool closed_gate, int repeats, float scale, bool save) -> (Tensor, Tensor, Tensor)",
    forward=_forward,
    fake=reference.forward,
    decomposition=reference.forward,
    setup=_setup,
    backward=_backward,
    domain=_domain,
)
