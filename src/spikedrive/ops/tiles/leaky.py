"""The leaky family in Triton: one program takes a block of elements through all T steps, its membrane in registers.

The equations are those of `spikedrive.ops.lif.reference` and `spikedrive.ops.current.reference`; element i of
step t lies at t * size + i. With `DECAY` None the decay is read from memory.
"""

from __future__ import annotations

import triton
import triton.language as tl

from spikedrive.ops.tiles.saved import BITS, FULL, HALF, from_half, load_bits, store_bits, to_half


@triton.jit
def fires(h, THRESHOLD: tl.constexpr, STRICT: tl.constexpr):
    """Whether membranes h fire."""
    if STRICT:
        return h > THRESHOLD
    else:
        return h >= THRESHOLD


@triton.jit
def _decay(pointer, DECAY: tl.constexpr, REAL: tl.constexpr):
    if DECAY is None:
        return tl.load(pointer).to(REAL)
    else:
        return tl.full((), DECAY, REAL)


@triton.jit
def _gain(decay, DECAY_INPUT: tl.constexpr, REAL: tl.constexpr):
    if DECAY_INPUT:
        return 1 - decay
    else:
        return tl.full((), 1, REAL)


@triton.jit
def _after(h, fired, THRESHOLD: tl.constexpr, HARD: tl.constexpr, RESET: tl.constexpr):
    """The membrane after the reset."""
    zero_or_one = fired.to(h.dtype)
    if HARD:
        # one of the two products is zero
        return (1 - zero_or_one) * h + zero_or_one * RESET
    else:
        return h - zero_or_one * THRESHOLD


@triton.jit
def _start(v, at, inside, RESET: tl.constexpr, REAL: tl.constexpr, BLOCK: tl.constexpr):
    """The membrane before the first step; without v it is the reset value."""
    if v is None:
        return tl.full((BLOCK,), RESET, REAL)
    else:
        return tl.load(v + at, mask=inside, other=0).to(REAL)


@triton.jit
def forward(x, v, c, decay, spikes, last_v, last_c, saved, steps, size,
            DECAY: tl.constexpr, DECAY_INPUT: tl.constexpr, THRESHOLD: tl.constexpr, STRICT: tl.constexpr,
            HARD: tl.constexpr, RESET: tl.constexpr, DELAYED: tl.constexpr, SYNAPSE: tl.constexpr,
            SAVE: tl.constexpr, SLOPE: tl.constexpr, ALPHA: tl.constexpr, HIGH: tl.constexpr, LOW: tl.constexpr,
            REAL: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Spikes, last membrane, last synaptic current and what SAVE asks for.

    `v` None: from the reset value; `c` None: from 0; SYNAPSE None: no synaptic current.
    """
    first = tl.program_id(0).to(tl.int64) * BLOCK
    at = first + tl.arange(0, BLOCK)
    inside = at < size
    kept = _decay(decay, DECAY, REAL)
    gain = _gain(kept, DECAY_INPUT, REAL)
    offset = (1 - kept) * RESET
    membrane = _start(v, at, inside, RESET, REAL, BLOCK)
    current = tl.zeros((BLOCK,), REAL)
    if c is not None:
        current = tl.load(c + at, mask=inside, other=0).to(REAL)
    for _ in range(steps):
        given = tl.load(x + at, mask=inside, other=0).to(REAL)
        owed = tl.zeros((BLOCK,), REAL)
        if DELAYED:
            due = fires(membrane, THRESHOLD, STRICT)
            if HARD:
                membrane = _after(membrane, due, THRESHOLD, HARD, RESET)
            else:
                owed = due.to(REAL) * THRESHOLD
        if SYNAPSE is not None:
            current = SYNAPSE * current + given
            given = current
        else:
            given = gain * given
        h = kept * membrane + offset + given
        if DELAYED:
            h -= owed
        fired = fires(h, THRESHOLD, STRICT)
        tl.store(spikes + at, fired.to(REAL), mask=inside)
        if SAVE == BITS:
            row = (size + 7) // 8
            slope = SLOPE(h - THRESHOLD, ALPHA)
            store_bits(saved, first, size, fired & inside, BLOCK)
            window = tl.abs(slope - HIGH) < tl.abs(slope - LOW)
            store_bits(saved + row, first, size, window & inside, BLOCK)
            saved += 2 * row
        elif SAVE == HALF:
            tl.store(saved + at, to_half(SLOPE(h - THRESHOLD, ALPHA), fired), mask=inside)
            saved += size
        elif SAVE == FULL:
            tl.store(saved + at, h, mask=inside)
            saved += size
        if DELAYED:
            membrane = h
        else:
            membrane = _after(h, fired, THRESHOLD, HARD, RESET)
        x += size
        spikes += size
    tl.store(last_v + at, membrane, mask=inside)
    if SYNAPSE is not None:
        tl.store(last_c + at, current, mask=inside)


@triton.jit
def backward(grad_spikes, grad_last_v, grad_last_c, saved, x, v, decay, grad_x, grad_v, grad_c, grad_decay,
             steps, last, last_saved, size,
             DECAY: tl.constexpr, DECAY_INPUT: tl.constexpr, THRESHOLD: tl.constexpr, STRICT: tl.constexpr,
             HARD: tl.constexpr, RESET: tl.constexpr, DELAYED: tl.constexpr, DETACH: tl.constexpr,
             SYNAPSE: tl.constexpr, SAVE: tl.constexpr, SLOPE: tl.constexpr, ALPHA: tl.constexpr,
             HIGH: tl.constexpr, LOW: tl.constexpr, REAL: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """Gradients of x, v, c and a learned decay, from the last step to the first; None is not wanted.

    A gradient of the last state that is None counts as zero. `last` and `last_saved` are where the last step
    begins in grad_spikes and in saved. `grad_decay` gets one sum a program, to be added up by the caller; it is
    None where no decay is learned, and SAVE is FULL where one is.
    """
    first = tl.program_id(0).to(tl.int64) * BLOCK
    at = first + tl.arange(0, BLOCK)
    inside = at < size
    kept = _decay(decay, DECAY, REAL)
    gain = _gain(kept, DECAY_INPUT, REAL)
    grad_membrane = tl.zeros((BLOCK,), REAL)
    if grad_last_v is not None:
        grad_membrane = tl.load(grad_last_v + at, mask=inside, other=0).to(REAL)
    grad_current = tl.zeros((BLOCK,), REAL)
    if grad_last_c is not None:
        grad_current = tl.load(grad_last_c + at, mask=inside, other=0).to(REAL)
    total = tl.zeros((BLOCK,), REAL)
    grad_spikes += last
    grad_x += last
    saved += last_saved
    if grad_decay is not None:
        x += last
    for done in range(steps):
        count = tl.zeros((BLOCK,), tl.int32) + done
        grad_s = tl.load(grad_spikes + at, mask=inside, other=0).to(REAL)
        if SAVE == BITS:
            row = (size + 7) // 8
            fired = load_bits(saved, at, inside)
            window = load_bits(saved + row, at, inside).to(REAL)
            slope = window * HIGH + (1 - window) * LOW
            h = grad_s
            saved -= 2 * row
        elif SAVE == HALF:
            slope, fired = from_half(tl.load(saved + at, mask=inside, other=0))
            h = grad_s
            saved -= size
        else:
            h = tl.load(saved + at, mask=inside, other=0)
            fired = fires(h, THRESHOLD, STRICT)
            slope = SLOPE(h - THRESHOLD, ALPHA)
            saved -= size
        if not DETACH:
            if HARD:
                grad_s += grad_membrane * (RESET - h)
            else:
                grad_s -= grad_membrane * THRESHOLD
        grad_h = grad_membrane
        if HARD:
            resets = fired
            if DELAYED:
                # the membrane that is handed out has not been reset yet
                resets = fired & (count > 0)
            grad_h = tl.where(resets, tl.zeros((BLOCK,), REAL), grad_membrane)
        grad_h += grad_s * slope
        if SYNAPSE is not None:
            grad_current += grad_h
            tl.store(grad_x + at, grad_current, mask=inside)
            grad_current *= SYNAPSE
        else:
            tl.store(grad_x + at, grad_h * gain, mask=inside)
        if grad_decay is not None:
            # saved has moved on to the step before, of which the first step has none
            earlier = count < steps - 1
            before = tl.load(saved + at, mask=inside & earlier, other=0)
            start = _start(v, at, inside, RESET, REAL, BLOCK)
            if DELAYED:
                before = tl.where(earlier, before, start)
                if HARD:
                    before = _after(before, fires(before, THRESHOLD, STRICT), THRESHOLD, HARD, RESET)
            else:
                before = _after(before, fires(before, THRESHOLD, STRICT), THRESHOLD, HARD, RESET)
                before = tl.where(earlier, before, start)
            before -= RESET
            if DECAY_INPUT:
                before -= tl.load(x + at, mask=inside, other=0).to(REAL)
            total += tl.where(inside, grad_h * before, 0)
            x -= size
        grad_membrane = grad_h * kept
        grad_spikes -= size
        grad_x -= size
    if grad_v is not None:
        if DELAYED and HARD:
            start = _start(v, at, inside, RESET, REAL, BLOCK)
            due = fires(start, THRESHOLD, STRICT)
            grad_membrane = tl.where(due, tl.zeros((BLOCK,), REAL), grad_membrane)
        tl.store(grad_v + at, grad_membrane, mask=inside)
    if grad_c is not None:
        tl.store(grad_c + at, grad_current, mask=inside)
    if grad_decay is not None:
        tl.store(grad_decay + tl.program_id(0), tl.sum(total, 0))
