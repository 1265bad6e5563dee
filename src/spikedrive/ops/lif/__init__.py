"""The leaky integrate-and-fire scan as one `torch.library` node, with a fixed or a learned decay."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.ops import checks, domains
from spikedrive.ops.domain import Binary
from spikedrive.ops.lif import reference
from spikedrive.ops.surrogate import Surrogate

_OPTIONS = (
    "float threshold, bool decay_input, bool hard_reset, float reset_value, bool strict, "
    "bool detach_reset, str surrogate, float alpha, bool save"
)


def lif_scan(
    x: Float[Tensor, "T B *S"],
    v: Float[Tensor, "B *S"],
    *,
    decay: float | Float[Tensor, ""],
    threshold: float,
    surrogate: Surrogate,
    decay_input: bool = True,
    hard_reset: bool = True,
    reset_value: float = 0.0,
    strict: bool = False,
    detach_reset: bool = True,
) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "B *S"]]:
    """Spikes in {0, 1} and the membrane after the last step.

    Equation: see `spikedrive.ops.lif.reference`.
    Shapes: x (T, B, ...), v (B, ...) -> (T, B, ...), (B, ...).
    Units: x and v in threshold units; decay is the share kept per step.
    Raises: ShapeError, DtypeError.
    """
    checks.scan_input("lif_scan", x, v)
    save = torch.is_grad_enabled() and (
        x.requires_grad or v.requires_grad or (isinstance(decay, Tensor) and decay.requires_grad)
    )
    op = torch.ops.spikedrive.plif_scan if isinstance(decay, Tensor) else torch.ops.spikedrive.lif_scan
    spikes, last, _ = op(
        x, v, decay, threshold, decay_input, hard_reset, reset_value, strict,
        detach_reset, surrogate.name, surrogate.alpha, save,
    )  # fmt: skip
    return spikes, last


def _forward(x, v, decay, threshold, decay_input, hard_reset, reset_value, strict,
             detach_reset, surrogate, alpha, save):  # fmt: skip
    return reference.forward(x, v, decay, threshold, decay_input, hard_reset, reset_value, strict, save)


def _setup_context(ctx, inputs, output):
    x, v, decay, *options = inputs
    spikes, _, charged = output
    learned = isinstance(decay, Tensor)
    # x and v serve the gradient of a learned decay only
    ctx.save_for_backward(spikes, charged, x, v, *([decay] if learned else []))
    ctx.decay = None if learned else decay
    ctx.options = options


def _backward(ctx, grad_spikes, grad_v, _grad_charged):
    spikes, charged, x, v, *rest = ctx.saved_tensors
    decay = rest[0] if rest else ctx.decay
    threshold, decay_input, hard_reset, reset_value, _strict, detach_reset, surrogate, alpha, _save = ctx.options
    grad_x, grad_v0, grad_decay = reference.backward(
        grad_spikes, grad_v, x, v, charged, spikes, decay, threshold, decay_input,
        hard_reset, reset_value, detach_reset, surrogate, alpha,
    )  # fmt: skip
    return grad_x, grad_v0, grad_decay if rest else None, *([None] * 9)


for _name, _decay in (("lif_scan", "float"), ("plif_scan", "Tensor")):
    _op = torch.library.custom_op(
        f"spikedrive::{_name}",
        _forward,
        mutates_args=(),
        schema=f"(Tensor x, Tensor v, {_decay} decay, {_OPTIONS}) -> (Tensor, Tensor, Tensor)",
    )
    # on fake tensors the reference itself gives the right shapes and strides
    _op.register_fake(_forward)
    _op.register_autograd(_backward, setup_context=_setup_context)
    domains.declare(f"spikedrive.{_name}.default", lambda _arguments: Binary(), decomposition=_forward)
