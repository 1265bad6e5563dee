"""The weighted key-value scan in plain PyTorch: the meaning of every faster one.

*Equation*, a channel, with log-decay w <= 0 and first weight u:

    y_t = (sum_{j<t} exp(w (t - 1 - j) + k_j) v_j + exp(u + k_t) v_t) / (the same sums without v)

as a recurrence on (p, q, o), sums that are kept divided by exp(o) so that no exponent is positive:

    n = max(o, u + k), a = exp(o - n), b = exp(u + k - n), y = (a p + b v) / (a q + b)
    m = max(w + o, k), c = exp(w + o - m), d = exp(k - m), p = c p + d v, q = c q + d, o = m

Backward, with o a constant (y does not depend on it) and g = dL/dy / (a q + b):

    dv = g b + gp d, dk = g b (v - y) + (gp v + gq) d, du = sum g b (v - y), dw = sum (gp p + gq q) c
    gp = g a + c gp, gq = - g y a + c gq

*Source*: RWKV-4, as SpikeGPT (arXiv 2302.13939) uses it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spikedrive.ops.precision import wide

CHUNK = 32
"""Tokens between two states that the backward pass starts from; it computes those in between again."""
EMPTY = -1e38
"""The exponent o before the first token."""


def forward(
    x: Tensor, state: Tensor | None, decay: Tensor, first: Tensor, save: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """y (L, B, C), the last state (B, 3, C), and the state before each chunk (chunks, B, 3, C), empty without `save`.

    *Shapes*: x (L, B, 2 C), k before v; state (B, 3, C); decay, first (C,).
    """
    kept, outputs, w, u = [], [], wide(decay), wide(first)
    p, q, o = (rest(x) if state is None else wide(state)).unbind(1)
    for t, (k, v) in enumerate(row.chunk(2, -1) for row in wide(x).unbind(0)):
        if save and t % CHUNK == 0:
            kept.append(torch.stack((p, q, o), 1))
        y, p, q, o = _step(k, v, p, q, o, w, u)
        outputs.append(y)
    saved = torch.stack(kept) if save else x.new_empty(0)
    return torch.stack(outputs).to(x.dtype), torch.stack((p, q, o), 1), saved


def backward(
    grad_y: Tensor, grad_last: Tensor | None, x: Tensor, decay: Tensor, first: Tensor, saved: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, the first state, decay and first."""
    w, u, rows = wide(decay), wide(first), wide(x)
    zero = torch.zeros_like(saved[0, :, 0])
    gp, gq = (zero, zero) if grad_last is None else wide(grad_last).unbind(1)[:2]
    grad_w, grad_u, grads = zero, zero, []
    for chunk in range(len(saved) - 1, -1, -1):
        part = rows[chunk * CHUNK : (chunk + 1) * CHUNK]
        states = [saved[chunk].unbind(1)]
        for k, v in (row.chunk(2, -1) for row in part[:-1].unbind(0)):
            p, q, o = states[-1]
            states.append(_step(k, v, p, q, o, w, u)[1:])
        for i in range(len(part) - 1, -1, -1):
            (k, v), (p, q, o) = part[i].chunk(2, -1), states[i]
            n, m = torch.maximum(o, u + k), torch.maximum(w + o, k)
            a, b, c, d = (o - n).exp(), (u + k - n).exp(), (w + o - m).exp(), (k - m).exp()
            total = a * q + b
            y, g = (a * p + b * v) / total, grad_y[chunk * CHUNK + i].to(zero.dtype) / total
            own = g * b * (v - y)
            grads.append(torch.cat((own + (gp * v + gq) * d, g * b + gp * d), -1))
            grad_u, grad_w = grad_u + own, grad_w + (gp * p + gq * q) * c
            gp, gq = g * a + c * gp, c * gq - g * y * a
    grad_x = torch.stack(grads[::-1]).to(x.dtype)
    return grad_x, torch.stack((gp, gq, zero), 1), grad_w.sum(0).to(decay), grad_u.sum(0).to(first)


def rest(x: Tensor) -> Tensor:
    """The state before the first token for x (L, B, 2 C), (B, 3, C)."""
    zero = wide(x).new_zeros(x.shape[1], x.shape[2] // 2)
    return torch.stack((zero, zero, torch.full_like(zero, EMPTY)), 1)


def _step(
    k: Tensor, v: Tensor, p: Tensor, q: Tensor, o: Tensor, w: Tensor, u: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    n, m = torch.maximum(o, u + k), torch.maximum(w + o, k)
    a, b, c, d = (o - n).exp(), (u + k - n).exp(), (w + o - m).exp(), (k - m).exp()
    return (a * p + b * v) / (a * q + b), c * p + d * v, c * q + d, m
