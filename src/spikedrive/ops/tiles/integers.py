"""The integer family in Triton: levels 0..D of a block of elements, step by step.

The equations are those of `spikedrive.ops.ilif.reference`. A gate is one bit a charge; without carry and
with one charge a step none is stored, since the input gives it.
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
def _fire(h, LEVELS: tl.constexpr, THRESHOLD: tl.constexpr, HALF_EVEN: tl.constexpr):
    clipped = tl.minimum(tl.maximum(_ratio(h, THRESHOLD), 0.0), LEVELS * 1.0)
    if HALF_EVEN:
        # adding the number whose last bit counts ones rounds, and to even at a tie
        if h.dtype == tl.float64:
            return (clipped + 4503599627370496.0) - 4503599627370496.0
        else:
            return (clipped + 8388608.0) - 8388608.0
    else:
        return tl.floor(clipped + 0.5)


@triton.jit
def _gate(h, LEVELS: tl.constexpr, THRESHOLD: tl.constexpr, CLOSED: tl.constexpr):
    u = _ratio(h, THRESHOLD)
    if CLOSED:
        return (u >= 0) & (u <= LEVELS)
    else:
        return (u > 0) & (u < LEVELS)


@triton.jit
def forward(x, v, y, last, gates, steps, size, DECAY: tl.constexpr, GAIN: tl.constexpr, THRESHOLD: tl.constexpr,
            LEVELS: tl.constexpr, REPEATS: tl.constexpr, SCALE: tl.constexpr, HALF_EVEN: tl.constexpr,
            CLOSED: tl.constexpr, REAL: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Outputs y and, with carry (`v` not None), the last membrane; gates where there is room for them."""
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
            s = _fire(h, LEVELS, THRESHOLD, HALF_EVEN)
            membrane = h - THRESHOLD * s
            total += s
            if gates is not None:
                store_bits(gates, first, size, _gate(h, LEVELS, THRESHOLD, CLOSED) & inside, BLOCK)
                gates += (size + 7) // 8
        tl.store(y + at, total * (SCALE / REPEATS), mask=inside)
        x += size
        y += size
    if v is not None:
        tl.store(last + at, membrane, mask=inside)


@triton.jit
def backward(grad_y, grad_last, gates, x, grad_x, grad_v, steps, last, last_gates, size, DECAY: tl.constexpr,
             GAIN: tl.constexpr, THRESHOLD: tl.constexpr, LEVELS: tl.constexpr, REPEATS: tl.constexpr,
             SCALE: tl.constexpr, CLOSED: tl.constexpr, REAL: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Gradients of x and, with carry (`grad_v` not None), of the first membrane.

    `gates` None: they are read off x. `last` and `last_gates` are where the last step begins.
    """
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    grad_membrane = tl.zeros((BLOCK,), REAL)
    if grad_v is not None:
        grad_membrane = tl.load(grad_last + at, mask=inside, other=0).to(REAL)
    grad_y += last
    grad_x += last
    if gates is None:
        x += last
    else:
        gates += last_gates
    for _ in range(steps):
        grad_s = tl.load(grad_y + at, mask=inside, other=0).to(REAL) * (SCALE / REPEATS / THRESHOLD)
        if gates is None:
            opened = _gate(tl.load(x + at, mask=inside, other=0).to(REAL), LEVELS, THRESHOLD, CLOSED)
            tl.store(grad_x + at, grad_s * opened.to(REAL), mask=inside)
            x -= size
        else:
            if grad_v is None:
                grad_membrane = tl.zeros((BLOCK,), REAL)
            total = tl.zeros((BLOCK,), REAL)
            for _repeat in range(REPEATS):
                grad_h = grad_membrane + grad_s * load_bits(gates, at, inside).to(REAL)
                total += grad_h * GAIN
                grad_membrane = grad_h * DECAY
                gates -= (size + 7) // 8
            tl.store(grad_x + at, total, mask=inside)
        grad_y -= size
        grad_x -= size
    if grad_v is not None:
        tl.store(grad_v + at, grad_membrane, mask=inside)
