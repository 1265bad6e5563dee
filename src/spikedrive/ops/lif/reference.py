"""The leaky integrate-and-fire scan in plain PyTorch, forward and exact backward through time.

*Equation*, for each step t with decay d, threshold th and reset value r:

    charge   h_t = d v + (1 - d) r + (1 - d) x_t     (decay_input)
             h_t = d v + (1 - d) r + x_t             (otherwise)
    fire     s_t = 1 where h_t >= th (> th when strict), else 0
    reset    v   = (1 - s_t) h_t + s_t r             (hard)
             v   = h_t - th s_t                      (soft)

With `delayed_reset` the membrane keeps h_t, and the reset for s_t opens step t + 1: before its charge (hard),
or as - th s_t beside its charge, which the leak does not touch (soft). Without v the scan starts at r.

Backward: ds_t/dh_t is the surrogate; with `detach_reset` the spike inside the reset is a constant.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spikedrive.ops import precision
from spikedrive.ops.lif.options import Options
from spikedrive.ops.precision import wide
from spikedrive.ops.surrogate import GRADIENTS


def forward(x: Tensor, v: Tensor | None, o: Options) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes (T, B, ...), last membrane (B, ...), and the charged membranes (T, B, ...) when `o.save`."""
    narrow, x, v = x.dtype, wide(x), wide(v)
    gain = 1 - o.decay if o.decay_input else 1.0
    offset = (1 - o.decay) * o.reset_value
    if v is None:
        v = torch.full_like(x[0], o.reset_value)
    spikes, charged = [], []
    for x_t in x.unbind(0):
        before = v
        if o.delayed_reset and o.hard_reset:
            before = _after(v, _fire(v, o), o)
        h = o.decay * before + offset + gain * x_t
        if o.delayed_reset and not o.hard_reset:
            h = h - o.threshold * _fire(v, o)
        s = _fire(h, o)
        v = h if o.delayed_reset else _after(h, s, o)
        spikes.append(s)
        charged.append(h)
    saved = torch.stack(charged) if o.save else x.new_empty(0, dtype=narrow)
    last = v if o.keep_last else x.new_empty(0)
    return torch.stack(spikes).to(narrow), last.to(narrow), saved


def backward(
    grad_spikes: Tensor,
    grad_last: Tensor | None,
    saved: Tensor,
    x: Tensor | None,
    v: Tensor | None,
    o: Options,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x (T, B, ...), of the first membrane v (B, ...) and of decay ().

    `x` is needed for a learned (tensor) decay only, and `v` for that or a delayed reset.
    """
    narrow, grad_spikes, grad_last = grad_spikes.dtype, wide(grad_spikes), wide(grad_last)
    x, v, slope = wide(x), wide(v), GRADIENTS[o.surrogate]
    gain = 1 - o.decay if o.decay_input else 1.0
    start = torch.full_like(saved[0], o.reset_value) if v is None else v
    grad_v = torch.zeros_like(saved[0]) if grad_last is None else grad_last
    grad_x: list[Tensor] = []
    grad_decay = saved.new_zeros(())
    for t in range(saved.shape[0] - 1, -1, -1):
        h = saved[t]
        s = _fire(h, o)
        grad_s = grad_spikes[t]
        if not o.detach_reset:
            grad_s = grad_s + grad_v * (o.reset_value - h if o.hard_reset else -o.threshold)
        # a delayed reset has not touched the membrane that is handed out
        resets = o.hard_reset and not (o.delayed_reset and t == saved.shape[0] - 1)
        grad_h = (grad_v * (1 - s) if resets else grad_v) + grad_s * slope(h - o.threshold, o.alpha)
        grad_x.append(grad_h * gain)
        if o.learned and x is not None:
            # the membrane before step t, from what step t - 1 left
            before = saved[t - 1] if t > 0 else start
            if o.hard_reset if o.delayed_reset else t > 0:
                before = _after(before, _fire(before, o), o)
            grad_decay = (
                grad_decay + (grad_h * (before - o.reset_value - (x[t] if o.decay_input else 0.0))).sum()
            )
        grad_v = grad_h * o.decay
    if o.delayed_reset and o.hard_reset:
        grad_v = grad_v * (1 - _fire(start, o))
    return torch.stack(grad_x[::-1]).to(narrow), grad_v.to(narrow), grad_decay.to(narrow)


def saved_like(x: Tensor, o: Options) -> Tensor:
    """An empty tensor such as `forward` saves."""
    return precision.saved_like(x)


def _fire(h: Tensor, o: Options) -> Tensor:
    return (h > o.threshold if o.strict else h >= o.threshold).to(h.dtype)


def _after(h: Tensor, s: Tensor, o: Options) -> Tensor:
    return (1 - s) * h + s * o.reset_value if o.hard_reset else h - o.threshold * s
