"""The ternary leaky scan in plain PyTorch, forward and exact backward through time.

*Equation*, for each step t with decay d, threshold th and reset value r:

    charge   h_t = d v + (1 - d) r + (1 - d) x_t     (decay_input)
             h_t = d v + (1 - d) r + x_t             (otherwise)
    fire     p = 1 where h_t >= th, n = 1 where -h_t >= th;  s_t = p - n
    reset    v = (1 - p - n) h_t + (p + n) r         (hard)
             v = h_t - th s_t                        (soft)

Without v the scan starts at r. Backward, with the surrogate g: dp/dh = g(h - th) and dn/dh = -g(-h - th); with a
`window` w > 0 instead ds/dh = 1 where |h| <= w, else 0, and d|s|/dh = s ds/dh. With `detach_reset` p and n are
constants in the reset.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spikedrive.ops import precision
from spikedrive.ops.precision import wide
from spikedrive.ops.surrogate import GRADIENTS
from spikedrive.ops.ternary.options import Options


def forward(x: Tensor, v: Tensor | None, o: Options) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes (T, B, ...), last membrane (B, ...), and the charged membranes (T, B, ...) when `o.save`."""
    narrow, x, v = x.dtype, wide(x), wide(v)
    gain = 1 - o.decay if o.decay_input else 1.0
    offset = (1 - o.decay) * o.reset_value
    if v is None:
        v = torch.full_like(x[0], o.reset_value)
    spikes, charged = [], []
    for x_t in x.unbind(0):
        h = o.decay * v + offset + gain * x_t
        up, down = (h >= o.threshold).to(h.dtype), (-h >= o.threshold).to(h.dtype)
        # a comparison of its own, so that the audit sees a choice rather than a product
        s, fired = up - down, (h.abs() >= o.threshold).to(h.dtype)
        v = (1 - fired) * h + fired * o.reset_value if o.hard_reset else h - o.threshold * s
        spikes.append(s)
        charged.append(h)
    saved = torch.stack(charged) if o.save else x.new_empty(0, dtype=narrow)
    return torch.stack(spikes).to(narrow), v.to(narrow), saved


def backward(
    grad_spikes: Tensor, grad_last: Tensor | None, saved: Tensor, o: Options
) -> tuple[Tensor, Tensor]:
    """Gradients of x (T, B, ...) and of the first membrane v (B, ...)."""
    narrow, grad_spikes, grad_last = grad_spikes.dtype, wide(grad_spikes), wide(grad_last)
    gain = 1 - o.decay if o.decay_input else 1.0
    grad_v = torch.zeros_like(saved[0]) if grad_last is None else grad_last
    grad_x: list[Tensor] = []
    for t in range(saved.shape[0] - 1, -1, -1):
        h = saved[t]
        fired = (h.abs() >= o.threshold).to(h.dtype)
        slope, size_slope = _slopes(h, o)
        grad_h = (grad_v * (1 - fired) if o.hard_reset else grad_v) + grad_spikes[t] * slope
        if not o.detach_reset and o.hard_reset:
            grad_h = grad_h + grad_v * (o.reset_value - h) * size_slope
        if not o.detach_reset and not o.hard_reset:
            grad_h = grad_h - grad_v * o.threshold * slope
        grad_x.append(grad_h * gain)
        grad_v = grad_h * o.decay
    return torch.stack(grad_x[::-1]).to(narrow), grad_v.to(narrow)


def saved_like(x: Tensor, o: Options) -> Tensor:
    """An empty tensor such as `forward` saves."""
    return precision.saved_like(x)


def _slopes(h: Tensor, o: Options) -> tuple[Tensor, Tensor]:
    """d(p - n)/dh and d(p + n)/dh."""
    if o.window > 0:
        slope = (h.abs() <= o.window).to(h.dtype)
        return slope, slope * h.sign() * (h.abs() >= o.threshold)
    up, down = (GRADIENTS[o.surrogate](u, o.alpha) for u in (h - o.threshold, -h - o.threshold))
    return up + down, up - down
