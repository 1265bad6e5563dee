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

from spikedrive.ops.ilif.options import Options
from spikedrive.ops.precision import wide


def forward(x: Tensor, v: Tensor | None, o: Options) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (T, B, ...), last membrane (B, ...) and, when `o.save`, the gates (T * R, B, ...) as bool.

    `v` None stands for no carry from step to step: the membrane is then empty.
    """
    narrow, x, v = x.dtype, wide(x), wide(v)
    no_gates = torch.empty(0, dtype=torch.bool, device=x.device)
    if v is None and o.repeats == 1:
        s = fire(x, o.levels, o.threshold, o.half_even)
        gates = gate(x, o.levels, o.threshold, o.closed_gate) if o.save else no_gates
        return (s if o.scale == 1.0 else s * o.scale).to(narrow), x.new_empty(0, dtype=narrow), gates
    outputs, gates = [], []
    gain = 1 - o.decay if o.decay_input else 1.0
    membrane = v
    for x_t in x.unbind(0):
        if v is None or membrane is None:
            membrane = torch.zeros_like(x_t)
        total = torch.zeros_like(x_t)
        for _ in range(o.repeats):
            h = o.decay * membrane + gain * x_t
            s = fire(h, o.levels, o.threshold, o.half_even)
            membrane = h - o.threshold * s
            total = total + s
            if o.save:
                gates.append(gate(h, o.levels, o.threshold, o.closed_gate))
        outputs.append(total * (o.scale / o.repeats))
    last = x.new_empty(0, dtype=narrow) if v is None or membrane is None else membrane.to(narrow)
    return torch.stack(outputs).to(narrow), last, torch.stack(gates) if o.save else no_gates


def fire(h: Tensor, levels: int, threshold: float, half_even: bool) -> Tensor:
    """The integers s."""
    clipped = (h if threshold == 1.0 else h / threshold).clamp(0, levels)
    return clipped.round() if half_even else (clipped + 0.5).floor()


def gate(h: Tensor, levels: int, threshold: float, closed_gate: bool) -> Tensor:
    """Where the gradient passes, as bool."""
    u = h if threshold == 1.0 else h / threshold
    return (u >= 0) & (u <= levels) if closed_gate else (u > 0) & (u < levels)


def backward(
    grad_outputs: Tensor, grad_last: Tensor | None, gates: Tensor, carry: bool, o: Options
) -> tuple[Tensor, Tensor]:
    """Gradients of x (T, B, ...) and, with carry, of the first membrane v (B, ...)."""
    narrow, grad_outputs, grad_last = grad_outputs.dtype, wide(grad_outputs), wide(grad_last)
    grad_s = grad_outputs * (o.scale / o.repeats / o.threshold)
    if not carry and o.repeats == 1:
        return (grad_s * gates).to(narrow), grad_s.new_empty(0, dtype=narrow)
    grad_x: list[Tensor] = []
    gain = 1 - o.decay if o.decay_input else 1.0
    zero = torch.zeros_like(grad_outputs[0])
    grad_v = zero if grad_last is None or not carry else grad_last
    for t in range(grad_outputs.shape[0] - 1, -1, -1):
        grad_membrane = grad_v if carry else zero
        total = zero
        for r in range(o.repeats - 1, -1, -1):
            passes = gates[t * o.repeats + r]
            # an attached reset takes away what fired: dv/dh = 1 - th ds/dh
            kept = grad_membrane if o.detach_reset else grad_membrane * ~passes
            grad_h = kept + grad_s[t] * passes
            total = total + grad_h * gain
            grad_membrane = grad_h * o.decay
        grad_x.append(total)
        grad_v = grad_membrane
    grad_v = grad_v if carry else grad_s.new_empty(0)
    return torch.stack(grad_x[::-1]).to(narrow), grad_v.to(narrow)
