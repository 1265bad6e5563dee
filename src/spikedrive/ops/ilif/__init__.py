"""The integer integrate-and-fire scan as one `torch.library` node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.ops import checks, domains
from spikedrive.ops.domain import Binary, Domain, Integer
from spikedrive.ops.ilif import reference


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


def _setup_context(ctx, inputs, output):
    _x, v, _levels, decay, threshold, decay_input, _even, _closed, repeats, scale, _save = inputs
    ctx.save_for_backward(output[2])
    ctx.options = (decay, threshold, decay_input, v is not None, repeats, scale)


def _backward(ctx, grad_outputs, grad_v, _grad_gates):
    (gates,) = ctx.saved_tensors
    return *reference.backward(grad_outputs, grad_v, gates, *ctx.options), *([None] * 9)


def _domain(arguments: Mapping[str, Any]) -> Domain:
    high = arguments["levels"] * arguments["repeats"]
    unit = arguments["scale"] / arguments["repeats"]
    return Binary(unit) if high == 1 else Integer(high, unit)


_op = torch.library.custom_op(
    "spikedrive::ilif_scan",
    reference.forward,
    mutates_args=(),
    schema=(
        "(Tensor x, Tensor? v, int levels, float decay, float threshold, bool decay_input, "
        "bool half_even, bool closed_gate, int repeats, float scale, bool save) -> (Tensor, Tensor, Tensor)"
    ),
)
# on fake tensors the reference itself gives the right shapes and strides
_op.register_fake(reference.forward)
_op.register_autograd(_backward, setup_context=_setup_context)
domains.declare("spikedrive.ilif_scan.default", _domain, decomposition=reference.forward)
