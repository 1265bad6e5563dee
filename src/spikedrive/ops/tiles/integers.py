"""The integer family in Triton: levels 0..D of a block of elements, step by step.

The equations are those of `spikedrive.ops.ilif.reference`. A gate is one bit a charge, plane after plane.
"""

from __future__ import annotations

import triton
import triton.language as tl

from spikedrive.ops.tiles.saved import load_bits, store_bits


@triton.jit
def _ratio(h, THRESHOLD: tl.constexpr):
    """h / threshold, rounded as IEEE 754 says: a quotient at half a level decides the level."""
    if THRESHOLD == 1:
        return h
    else:
        if h.dtype == tl.float64:
            return h / THRESHOLD
        else:
            return tl.div_rn(h, tl.full(h.shape, THRESHOLD, h.dtype))


@triton.jit
def _fire(u, LEVELS: tl.constexpr, HALF_EVEN: tl.constexpr):
    """The integers of the ratio u; NaN stays NaN."""
    clipped = tl.clamp(u, 0.0, LEVELS * 1.0, propagate_nan=tl.PropagateNan.ALL)
    if HALF_EVEN:
        # adding the number whose last bit counts ones rounds, and to even at a tie
        if u.dtype == tl.float64:
            return (clipped + 4503599627370496.0) - 4503599627370496.0
        else:
            return (clipped + 8388608.0) - 8388608.0
    else:
        return tl.floor(clipped + 0.5)


@triton.jit
def _gate(u, LEVELS: tl.constexpr, CLOSED: tl.constexpr):
    """Where the ratio u lets a gradient pass."""
    if CLOSED:
        return (u >= 0) & (u <= LEVELS)
    else:
        return (u > 0) & (u < LEVELS)


@triton.jit
def forward(x, v, y, last, gates, steps, size, DECAY: tl.constexpr, GAIN: tl.constexpr, THRESHOLD: tl.constexpr,
            LEVELS: tl.constexpr, REPEATS: tl.constexpr, SCALE: tl.constexpr, HALF_EVEN: tl.constexpr,
            CLOSED: tl.constexpr, REAL: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Outputs y, with carry (`v` not None) the last membrane, and gates (None: not wanted)."""
    first = tl.program_id(0).to(tl.int64) * BLOCK
    at = first + tl.arange(0, BLOCK)
    inside = at < size
    membrane = tl.zeros((BLOCK,), REAL)
    if v is not None:
        membrane = tl.load(v + at, mask=inside, other=0).to(REAL)
    for _ in range(steps):
        given = tl.load(x + at, mask=inside, other=0).to(REAL)
        total = tl.zeros((BLOCK,), REAL)
        if v is None:
            membrane = tl.zeros((BLOCK,), REAL)
        for _repeat in range(REPEATS):
            h = given
            if v is not None or REPEATS > 1:
                h = DECAY * membrane + GAIN * given
            u = _ratio(h, THRESHOLD)
            s = _fire(u, LEVELS, HALF_EVEN)
            membrane = h - THRESHOLD * s
            total += s
            if gates is not None:
                store_bits(gates, first, size, _gate(u, LEVELS, CLOSED) & inside, BLOCK)
                gates += (size + 7) // 8
        tl.store(y + at, total * (SCALE / REPEATS), mask=inside)
        x += size
        y += size
    if v is not None:
        tl.store(last + at, membrane, mask=inside)


@triton.jit
def backward(grad_y, grad_last, gates, grad_x, grad_v, steps, last, last_gate, size, DECAY: tl.constexpr,
             GAIN: tl.constexpr, THRESHOLD: tl.constexpr, REPEATS: tl.constexpr, SCALE: tl.constexpr,
             CARRY: tl.constexpr, DETACH: tl.constexpr, REAL: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Gradients of x and of the first membrane (`grad_v` None: not wanted), from the last charge to the first.

    `last` and `last_gate` are where the last step begins in grad_y and the last charge in gates.
    """
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    grad_membrane = tl.zeros((BLOCK,), REAL)
    if grad_last is not None:
        grad_membrane = tl.load(grad_last + at, mask=inside, other=0).to(REAL)
    grad_y += last
    grad_x += last
    gates += last_gate
    for _ in range(steps):
        grad_s = tl.load(grad_y + at, mask=inside, other=0).to(REAL) * (SCALE / REPEATS / THRESHOLD)
        total = tl.zeros((BLOCK,), REAL)
        if not CARRY:
            grad_membrane = tl.zeros((BLOCK,), REAL)
        for _repeat in range(REPEATS):
            passes = load_bits(gates, at, inside).to(REAL)
            grad_h = grad_membrane
            if not DETACH:
                # an attached reset takes away what fired: dv/dh = 1 - threshold ds/dh
                grad_h *= 1 - passes
            grad_h += grad_s * passes
            if CARRY or REPEATS > 1:
                total += grad_h * GAIN
                grad_membrane = grad_h * DECAY
            else:
                # the input itself is what fires
                total += grad_h
            gates -= (size + 7) // 8
        tl.store(grad_x + at, total, mask=inside)
        grad_y -= size
        grad_x -= size
    if grad_v is not None:
        tl.store(grad_v + at, grad_membrane, mask=inside)
