"""The leaky integrate-and-fire scan in plain PyTorch, forward and exact backward through time.

*Equation*, for each step t with decay d, threshold th and reset value r:

    charge   h_t = d v + (1 - d) r + (1 - d) x_t     (decay_input)
             h_t = d v + (1 - d) r + x_t             (otherwise)
    fire     s_t = 1 where h_t >= th (> th when strict), else 0
    reset    v   = (1 - s_t) h_t + s_t r             (hard)
             v   = h_t - th s_t                      (soft)

Backward: ds_t/dh_t is the surrogate; with `detach_reset` the spike inside the reset is a constant.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spikedrive.ops.surrogate import GRADIENTS


def forward(
    x: Tensor,
    v: Tensor,
    decay: float | Tensor,
    threshold: float,
    decay_input: bool,
    hard_reset: bool,
    reset_value: float,
    strict: bool,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes (T, B, ...), last membrane (B, ...), and the charged membranes (T, B, ...) when `save`."""
    gain = 1 - decay if decay_input else 1.0
    offset = (1 - decay) * reset_value
    spikes, charged = [], []
    for x_t in x.unbind(0):
        h = decay * v + offset + gain * x_t
        s = (h > threshold if strict else h >= threshold).to(x.dtype)
        v = _after(h, s, threshold, hard_reset, reset_value)
        spikes.append(s)
        charged.append(h)
    return torch.stack(spikes), v, torch.stack(charged) if save else x.new_empty(0)


def backward(
    grad_spikes: Tensor,
    grad_v: Tensor,
    x: Tensor | None,
    v: Tensor | None,
    charged: Tensor,
    spikes: Tensor,
    decay: float | Tensor,
    threshold: float,
    decay_input: bool,
    hard_reset: bool,
    reset_value: float,
    detach_reset: bool,
    surrogate: str,
    alpha: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x (T, B, ...), of the first membrane v (B, ...) and of decay ().

    `x` and `v` are needed for a learned (tensor) decay only.
    """
    slope = GRADIENTS[surrogate]
    gain = 1 - decay if decay_input else 1.0
    grad_x: list[Tensor] = []
    grad_decay = charged.new_zeros(())
    for t in range(charged.shape[0] - 1, -1, -1):
        h, s = charged[t], spikes[t]
        grad_s = grad_spikes[t]
        if not detach_reset:
            grad_s = grad_s + grad_v * (reset_value - h if hard_reset else -threshold)
        grad_h = (grad_v * (1 - s) if hard_reset else grad_v) + grad_s * slope(h - threshold, alpha)
        grad_x.append(grad_h * gain)
        if isinstance(decay, Tensor) and x is not None and v is not None:
            # the membrane before step t, from what step t - 1 left
            before = (
                v if t == 0 else _after(charged[t - 1], spikes[t - 1], threshold, hard_reset, reset_value)
            )
            grad_decay = grad_decay + (grad_h * (before - reset_value - (x[t] if decay_input else 0.0))).sum()
        grad_v = grad_h * decay
    return torch.stack(grad_x[::-1]), grad_v, grad_decay


def _after(h: Tensor, s: Tensor, threshold: float, hard_reset: bool, reset_value: float) -> Tensor:
    return (1 - s) * h + s * reset_value if hard_reset else h - threshold * s
