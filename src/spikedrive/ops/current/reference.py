"""The current-based leaky scan in plain PyTorch, forward and exact backward through time.

*Equation*, for each step t with current decay a, membrane decay d, threshold th and reset value r:

    current  c   = a c + x_t
    charge   h_t = d v + (1 - d) r + c
    fire     s_t = 1 where h_t >= th (> th when strict), else 0
    reset    v   = (1 - s_t) h_t + s_t r   (hard)
             v   = h_t - th s_t            (soft)

Without v and c the scan starts at r and 0. Backward: as `spikedrive.ops.lif.reference`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spikedrive.ops import precision
from spikedrive.ops.lif.options import Options
from spikedrive.ops.precision import wide
from spikedrive.ops.surrogate import GRADIENTS


def forward(
    x: Tensor, v: Tensor | None, c: Tensor | None, current_decay: float, o: Options
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Spikes (T, B, ...), last membrane and current (B, ...), and the charged membranes when `o.save`."""
    narrow, x, v, c = x.dtype, wide(x), wide(v), wide(c)
    offset = (1 - o.decay) * o.reset_value
    v = torch.full_like(x[0], o.reset_value) if v is None else v
    c = torch.zeros_like(x[0]) if c is None else c
    spikes, charged = [], []
    for x_t in x.unbind(0):
        c = current_decay * c + x_t
        h = o.decay * v + offset + c
        s = _fire(h, o)
        v = (1 - s) * h + s * o.reset_value if o.hard_reset else h - o.threshold * s
        spikes.append(s)
        charged.append(h)
    saved = torch.stack(charged) if o.save else x.new_empty(0, dtype=narrow)
    return torch.stack(spikes).to(narrow), v.to(narrow), c.to(narrow), saved


def backward(
    grad_spikes: Tensor,
    grad_v: Tensor | None,
    grad_c: Tensor | None,
    saved: Tensor,
    current_decay: float,
    o: Options,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x (T, B, ...), of the first membrane and of the first current (B, ...)."""
    slope, narrow = GRADIENTS[o.surrogate], grad_spikes.dtype
    grad_spikes, grad_v, grad_c = wide(grad_spikes), wide(grad_v), wide(grad_c)
    grad_v = torch.zeros_like(saved[0]) if grad_v is None else grad_v
    grad_c = torch.zeros_like(saved[0]) if grad_c is None else grad_c
    grad_x: list[Tensor] = []
    for t in range(saved.shape[0] - 1, -1, -1):
        h = saved[t]
        s = _fire(h, o)
        grad_s = grad_spikes[t]
        if not o.detach_reset:
            grad_s = grad_s + grad_v * (o.reset_value - h if o.hard_reset else -o.threshold)
        grad_h = (grad_v * (1 - s) if o.hard_reset else grad_v) + grad_s * slope(h - o.threshold, o.alpha)
        total = grad_h + grad_c
        grad_x.append(total)
        grad_v, grad_c = grad_h * o.decay, total * current_decay
    return torch.stack(grad_x[::-1]).to(narrow), grad_v.to(narrow), grad_c.to(narrow)


def saved_like(x: Tensor, o: Options) -> Tensor:
    """An empty tensor such as `forward` saves."""
    return precision.saved_like(x)


def _fire(h: Tensor, o: Options) -> Tensor:
    return (h > o.threshold if o.strict else h >= o.threshold).to(h.dtype)
