"""Ternary spikes in Triton; the equations are those of `spikedrive.ops.ternary.reference`.

With WINDOW above 0 the slope is 1 where |h| <= WINDOW; otherwise it is the surrogate's at both thresholds.
Bits are three planes a step: fired, fired below zero, inside the window. They do for no hard reset that
gradients pass.
"""

from __future__ import annotations

import triton
import triton.language as tl

from spikedrive.ops.tiles.saved import BITS, FULL, load_bits, store_bits


@triton.jit
def forward(x, v, spikes, last, saved, steps, size, DECAY: tl.constexpr, GAIN: tl.constexpr, OFFSET: tl.constexpr,
            THRESHOLD: tl.constexpr, HARD: tl.constexpr, RESET: tl.constexpr, WINDOW: tl.constexpr,
            SAVE: tl.constexpr, REAL: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
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
            store_bits(saved + row, first, size, below & inside, BLOCK)
            store_bits(saved + 2 * row, first, size, (tl.abs(h) <= WINDOW) & inside, BLOCK)
            saved += 3 * row
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
             ALPHA: tl.constexpr, REAL: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
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
            slope = load_bits(saved + 2 * row, at, inside).to(REAL)
            h = slope
            size_slope = slope
            saved -= 3 * row
        else:
            h = tl.load(saved + at, mask=inside, other=0)
            fired = tl.abs(h) >= THRESHOLD
            # of s, and of |s|, which a hard reset sees
            if WINDOW > 0:
                slope = (tl.abs(h) <= WINDOW).to(REAL)
                size_slope = tl.where(fired, tl.where(h < 0, -slope, slope), tl.zeros((BLOCK,), REAL))
            else:
                up = SLOPE(h - THRESHOLD, ALPHA)
                down = SLOPE(-h - THRESHOLD, ALPHA)
                slope = up + down
                size_slope = up - down
            saved -= size
        grad_h = grad_membrane
        if HARD:
            grad_h = tl.where(fired, tl.zeros((BLOCK,), REAL), grad_membrane)
        if not DETACH:
            if HARD:
                grad_h += grad_membrane * (RESET - h) * size_slope
            else:
                grad_s -= grad_membrane * THRESHOLD
        grad_h += grad_s * slope
        tl.store(grad_x + at, grad_h * GAIN, mask=inside)
        grad_membrane = grad_h * DECAY
        grad_spikes -= size
        grad_x -= size
    if grad_v is not None:
        tl.store(grad_v + at, grad_membrane, mask=inside)
