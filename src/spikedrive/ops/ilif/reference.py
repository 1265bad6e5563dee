"""The integer integrate-and-fire scan in plain PyTorch, forward and exact backward through time.

*Equation*, for each step t with D levels and threshold th. Without carry, h = x_t. With carry:

    charge   h = d v + x_t                 (plain input)
             h = d v + (1 - d) x_t         (decay_input)
    reset    v = h - th s                  (s is a constant here in the backward pass)

    fire     s = round(clip(h / th, 0, D)) (half to even, or half up = floor(. + 1/2))
    output   y_t = scale * s

With `repeats` = R > 1 each x_t is charged R times from rest, and y_t = scale * mean of the R values s.
Backward: ds/dh = 1 / th inside the gate 0 <= h / th <= D (closed) or 0 < h / th < D (open), else 0.
"""

from __future__ import annotations

import torch
from torch import Tensor


def forward(
    x: Tensor,
    v: Tensor | None,
    levels: int,
    decay: float,
    threshold: float,
    decay_input: bool,
    half_even: bool,
    closed_gate: bool,
    repeats: int,
    scale: float,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (T, B, ...), last membrane (B, ...) and, when `save`, the gates (T * R, B, ...) as bool.

    `v` None stands for no carry from step to step: the membrane is then empty, and with R = 1 so are
    the gates, since x alone gives them.
    """
    no_gates = torch.empty(0, dtype=torch.bool, device=x.device)
    if v is None and repeats == 1:
        s = fire(x, levels, threshold, half_even)
        return s if scale == 1.0 else s * scale, x.new_empty(0), no_gates
    outputs, gates = [], []
    gain = 1 - decay if decay_input else 1.0
    membrane = v
    for x_t in x.unbind(0):
        if v is None or membrane is None:
            membrane = torch.zeros_like(x_t)
        total = torch.zeros_like(x_t)
        for _ in range(repeats):
            h = decay * membrane + gain * x_t
            s = fire(h, levels, threshold, half_even)
            membrane = h - threshold * s
            total = total + s
            if save:
                gates.append(gate(h, levels, threshold, closed_gate))
        outputs.append(total * (scale / repeats))
    last = x.new_empty(0) if v is None or membrane is None else membrane
    return torch.stack(outputs), last, torch.stack(gates) if save else no_gates


def fire(h: Tensor, levels: int, threshold: float, half_even: bool) -> Tensor:
    """The integers s."""
    clipped = (h if threshold == 1.0 else h / threshold).clamp(0, levels)
    return clipped.round() if half_even else (clipped + 0.5).floor()


def gate(h: Tensor, levels: int, threshold: float, closed_gate: bool) -> Tensor:
    """Where the gradient passes, as bool."""
    u = h if threshold == 1.0 else h / threshold
    return (u >= 0) & (u <= levels) if closed_gate else (u > 0) & (u < levels)


def backward(
    grad_outputs: Tensor,
    grad_v: Tensor,
    gates: Tensor,
    decay: float,
    threshold: float,
    decay_input: bool,
    carry: bool,
    repeats: int,
    scale: float,
) -> tuple[Tensor, Tensor | None]:
    """Gradients of x (T, B, ...) and, with carry, of the first membrane v (B, ...)."""
    grad_s = grad_outputs * (scale / repeats / threshold)
    if not carry and repeats == 1:
        return grad_s * gates, None
    grad_x: list[Tensor] = []
    gain = 1 - decay if decay_input else 1.0
    for t in range(grad_outputs.shape[0] - 1, -1, -1):
        grad_membrane = grad_v if carry else torch.zeros_like(grad_outputs[t])
        total = torch.zeros_like(grad_outputs[t])
        for r in range(repeats - 1, -1, -1):
            grad_h = grad_membrane + grad_s[t] * gates[t * repeats + r]
            total = total + grad_h * gain
            grad_membrane = grad_h * decay
        grad_x.append(total)
        grad_v = grad_membrane
    return torch.stack(grad_x[::-1]), grad_v if carry else None
