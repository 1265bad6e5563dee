"""Ternary spikes in Triton; the equations are those of `spikedrive.ops.ternary.reference`.

With WINDOW above 0 the slope is 1 where |h| <= WINDOW; otherwise it is the surrogate's at both thresholds.
Bits are two planes a step: fired, and which of the slopes HIGH and LOW. Neither bits nor half do for a hard reset
that gradients pass.
"""

from __future__ import annotations

import triton
import triton.language as tl

from spikedrive.ops.tiles.saved import BITS, FULL, HALF, from_half, load_bits, store_bits, to_half


@triton.jit
def _slope(h, THRESHOLD: tl.constexpr, WINDOW: tl.constexpr, SLOPE: tl.constexpr, ALPHA: tl.constexpr):
    """Of s at membranes h."""
    if WINDOW > 0:
        return (tl.abs(h) <= WINDOW).to(h.dtype)
    else:
        return SLOPE(h - THRESHOLD, ALPHA) + SLOPE(-h - THRESHOLD, ALPHA)


@triton.jit
def _size_slope(
    h, fired, THRESHOLD: tl.constexpr, WINDOW: tl.constexpr, SLOPE: tl.constexpr, ALPHA: tl.constexpr
):
    """Of |s|, which a hard reset follows."""
    if WINDOW > 0:
        slope = (fired & (tl.abs(h) <= WINDOW)).to(h.dtype)
        return tl.where(h < 0, -slope, slope)
    else:
        return SLOPE(h - THRESHOLD, ALPHA) - SLOPE(-h - THRESHOLD, ALPHA)


@triton.jit
def forward(x, v, spikes, last, saved, steps, size, DECAY: tl.constexpr, GAIN: tl.constexpr, OFFSET: tl.constexpr,
            THRESHOLD: tl.constexpr, HARD: tl.constexpr, RESET: tl.constexpr, WINDOW: tl.constexpr,
            SAVE: tl.constexpr, SLOPE: tl.constexpr, ALPHA: tl.constexpr, HIGH: tl.constexpr, LOW: tl.constexpr,
            REAL: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Spikes -1, 0 or 1, the last membrane and what SAVE asks for; `v` None: from the reset value."""
    first = tl.program_id(0).to(tl.int64) * BLOCK
    at = first + tl.arange(0, BLOCK)
    inside = at < size
    membrane = tl.full((BLOCK,), RESET, REAL)
    if v is not None:
        membrane = tl.load(v + at, mask=inside, other=0).to(REAL)
    for _ in range(steps):
        h = DECAY * membrane + OFFSET + GAIN * tl.load(x + at, mask=inside, other=0).to(REAL)
        fired = tl.abs(h) >= THRESHOLD
        below = fired & (h < 0)
        s = fired.to(REAL) - 2 * below.to(REAL)
        tl.store(spikes + at, s, mask=inside)
        if SAVE == BITS:
            row = (size + 7) // 8
            store_bits(saved, first, size, fired & inside, BLOCK)
            slope = _slope(h, THRESHOLD, WINDOW, SLOPE, ALPHA)
            held = tl.abs(slope - HIGH) < tl.abs(slope - LOW)
            store_bits(saved + row, first, size, held & inside, BLOCK)
            saved += 2 * row
        elif SAVE == HALF:
            tl.store(saved + at, to_half(_slope(h, THRESHOLD, WINDOW, SLOPE, ALPHA), fired), mask=inside)
            saved += size
        elif SAVE == FULL:
            tl.store(saved + at, h, mask=inside)
            saved += size
        if HARD:
            membrane = (1 - fired.to(REAL)) * h + fired.to(REAL) * RESET
        else:
            membrane = h - s * THRESHOLD
        x += size
        spikes += size
    tl.store(last + at, membrane, mask=inside)


@triton.jit
def backward(grad_spikes, grad_last, saved, grad_x, grad_v, steps, last, last_saved, size, DECAY: tl.constexpr,
             GAIN: tl.constexpr, THRESHOLD: tl.constexpr, HARD: tl.constexpr, RESET: tl.constexpr,
             DETACH: tl.constexpr, WINDOW: tl.constexpr, SAVE: tl.constexpr, SLOPE: tl.constexpr,
             ALPHA: tl.constexpr, HIGH: tl.constexpr, LOW: tl.constexpr, REAL: tl.constexpr,
             BLOCK: tl.constexpr):  # fmt: skip
    """Gradients of x and of the first membrane (`grad_v` None: not wanted), from the last step to the first.

    `last` and `last_saved` are where the last step begins in grad_spikes and in saved.
    """
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    grad_membrane = tl.zeros((BLOCK,), REAL)
    if grad_last is not None:
        grad_membrane = tl.load(grad_last + at, mask=inside, other=0).to(REAL)
    grad_spikes += last
    grad_x += last
    saved += last_saved
    for _ in range(steps):
        grad_s = tl.load(grad_spikes + at, mask=inside, other=0).to(REAL)
        if SAVE == BITS:
            row = (size + 7) // 8
            fired = load_bits(saved, at, inside)
            held = load_bits(saved + row, at, inside).to(REAL)
            slope = held * HIGH + (1 - held) * LOW
            h = slope
            saved -= 2 * row
        elif SAVE == HALF:
            slope, fired = from_half(tl.load(saved + at, mask=inside, other=0))
            h = slope
            saved -= size
        else:
            h = tl.load(saved + at, mask=inside, other=0)
            fired = tl.abs(h) >= THRESHOLD
            slope = _slope(h, THRESHOLD, WINDOW, SLOPE, ALPHA)
            saved -= size
        grad_h = grad_membrane
        if HARD:
            grad_h = tl.where(fired, tl.zeros((BLOCK,), REAL), grad_membrane)
        if not DETACH:
            if HARD:
                grad_h += grad_membrane * (RESET - h) * _size_slope(h, fired, THRESHOLD, WINDOW, SLOPE, ALPHA)
            else:
                grad_s -= grad_membrane * THRESHOLD
        grad_h += grad_s * slope
        tl.store(grad_x + at, grad_h * GAIN, mask=inside)
        grad_membrane = grad_h * DECAY
        grad_spikes -= size
        grad_x -= size
    if grad_v is not None:
        tl.store(grad_v + at, grad_membrane, mask=inside)
