"""The leaky integrate-and-fire scan as one `torch.library` node, with a fixed or a learned decay."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spikedrive.ops import checks, node
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


def _fake(x, v, *options):
    # the strides of the membrane settle in two steps; an export need not walk through all of them
    spikes, last, charged = _forward(x[:2], v, *options)
    steps = x.shape[0]
    saved = (steps, *charged.shape[1:]) if options[-1] else (0,)
    return spikes.new_empty((steps, *spikes.shape[1:])), last, charged.new_empty(saved)


def _setup(ctx, inputs, outputs):
    x, v, decay, *options = inputs
    spikes, _, charged = outputs
    learned = isinstance(decay, Tensor)
    # x and v serve the gradient of a learned decay only
    ctx.save_for_backward(spikes, charged, *([x, v, decay] if learned else []))
    ctx.decay = None if learned else decay
    ctx.options = options


def _backward(ctx, grad_spikes, grad_v, _grad_charged):
    spikes, charged, *learned = ctx.saved_tensors
    x, v, decay = learned or (None, None, ctx.decay)
    threshold, decay_input, hard_reset, reset_value, _strict, detach_reset, surrogate, alpha, _save = (
        ctx.options
    )
    grad_x, grad_v0, grad_decay = reference.backward(
        grad_spikes, grad_v, x, v, charged, spikes, decay, threshold, decay_input,
        hard_reset, reset_value, detach_reset, surrogate, alpha,
    )  # fmt: skip
    return grad_x, grad_v0, grad_decay if learned else None, *([None] * 9)


for _name, _decay in (("lif_scan", "float"), ("plif_scan", "Tensor")):
    node.define(
        _name,
        f"(Tensor x, Tensor v, {_decay} decay, {_OPTIONS}) -> (Tensor, Tensor, Tensor)",
        forward=_forward,
        reference=_forward,
        fake=_fake,
        setup=_setup,
        backward=_backward,
        domain=lambda _arguments: Binary(),
    )
