"""The weighted key-value scan in Triton: one program takes a block of texts' channels through all tokens.

The equations are those of `spikedrive.ops.wkv.reference`. Element i is channel i % channels of text i / channels;
states are (texts, 3, channels), the gradient pass computes those of a chunk again into `scratch` (chunk, 3, size).
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _weights(k, o, w, u):
    """The four exponentials of a token, and the next exponent."""
    n = tl.maximum(o, u + k)
    m = tl.maximum(w + o, k)
    return tl.exp(o - n), tl.exp(u + k - n), tl.exp(w + o - m), tl.exp(k - m), m


@triton.jit
def forward(
    x, state, decay, first, y, last, saved, tokens, texts, channels, size,
    KEEP: tl.constexpr, CHUNK: tl.constexpr, REAL: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """y, the last state and, with KEEP, the state before each chunk."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    # a place times a count of tokens leaves 32 bits
    zero = i * 0
    inside = i < size
    text, channel = i // channels, i % channels
    at = text * 3 * channels + channel
    p = tl.load(state + at, mask=inside, other=0).to(REAL)
    q = tl.load(state + at + channels, mask=inside, other=0).to(REAL)
    o = tl.load(state + at + 2 * channels, mask=inside, other=0).to(REAL)
    w = tl.load(decay + channel, mask=inside, other=0).to(REAL)
    u = tl.load(first + channel, mask=inside, other=0).to(REAL)
    for t in range(tokens):
        if KEEP and t % CHUNK == 0:  # pyright: ignore[reportOperatorIssue]
            kept = saved + (zero + t // CHUNK) * texts * 3 * channels + at
            tl.store(kept, p, mask=inside)
            tl.store(kept + channels, q, mask=inside)
            tl.store(kept + 2 * channels, o, mask=inside)
        row = (zero + t) * size
        key = x + 2 * row + text * 2 * channels + channel
        k = tl.load(key, mask=inside, other=0).to(REAL)
        v = tl.load(key + channels, mask=inside, other=0).to(REAL)
        a, b, c, d, m = _weights(k, o, w, u)
        tl.store(y + row + i, (a * p + b * v) / (a * q + b), mask=inside)
        p = c * p + d * v
        q = c * q + d
        o = m
    tl.store(last + at, p, mask=inside)
    tl.store(last + at + channels, q, mask=inside)
    tl.store(last + at + 2 * channels, o, mask=inside)


@triton.jit
def backward(
    grad_y, grad_last, x, decay, first, saved, scratch, grad_x, grad_state, grad_w, grad_u, tokens, texts, channels,
    size, CHUNK: tl.constexpr, REAL: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradients of x and the first state, and those of decay and first for each text."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    # a place times a count of tokens leaves 32 bits
    zero = i * 0
    inside = i < size
    text, channel = i // channels, i % channels
    at = text * 3 * channels + channel
    w = tl.load(decay + channel, mask=inside, other=0).to(REAL)
    u = tl.load(first + channel, mask=inside, other=0).to(REAL)
    gp = tl.load(grad_last + at, mask=inside, other=0).to(REAL)
    gq = tl.load(grad_last + at + channels, mask=inside, other=0).to(REAL)
    gw = tl.zeros((BLOCK,), REAL)
    gu = tl.zeros((BLOCK,), REAL)
    chunks = (tokens + CHUNK - 1) // CHUNK
    for back in range(chunks):
        begin = (chunks - 1 - back) * CHUNK
        count = tl.minimum(CHUNK, tokens - begin)
        kept = saved + (zero + chunks - 1 - back) * texts * 3 * channels + at
        p = tl.load(kept, mask=inside, other=0).to(REAL)
        q = tl.load(kept + channels, mask=inside, other=0).to(REAL)
        o = tl.load(kept + 2 * channels, mask=inside, other=0).to(REAL)
        for j in range(count):
            place = scratch + j * 3 * size + i
            tl.store(place, p, mask=inside)
            tl.store(place + size, q, mask=inside)
            tl.store(place + 2 * size, o, mask=inside)
            key = x + 2 * (zero + begin + j) * size + text * 2 * channels + channel
            k = tl.load(key, mask=inside, other=0).to(REAL)
            v = tl.load(key + channels, mask=inside, other=0).to(REAL)
            a, b, c, d, m = _weights(k, o, w, u)
            p = c * p + d * v
            q = c * q + d
            o = m
        for step in range(count):
            j = count - 1 - step
            place = scratch + j * 3 * size + i
            p = tl.load(place, mask=inside, other=0)
            q = tl.load(place + size, mask=inside, other=0)
            o = tl.load(place + 2 * size, mask=inside, other=0)
            row = (zero + begin + j) * size
            offset = 2 * row + text * 2 * channels + channel
            k = tl.load(x + offset, mask=inside, other=0).to(REAL)
            v = tl.load(x + offset + channels, mask=inside, other=0).to(REAL)
            a, b, c, d, m = _weights(k, o, w, u)
            total = a * q + b
            y = (a * p + b * v) / total
            g = tl.load(grad_y + row + i, mask=inside, other=0).to(REAL) / total
            own = g * b * (v - y)
            tl.store(grad_x + offset, own + (gp * v + gq) * d, mask=inside)
            tl.store(grad_x + offset + channels, g * b + gp * d, mask=inside)
            gu += own
            gw += (gp * p + gq * q) * c
            gp = g * a + c * gp
            gq = c * gq - g * y * a
    tl.store(grad_state + at, gp, mask=inside)
    tl.store(grad_state + at + channels, gq, mask=inside)
    tl.store(grad_state + at + 2 * channels, tl.zeros((BLOCK,), REAL), mask=inside)
    tl.store(grad_w + i, gw, mask=inside)
    tl.store(grad_u + i, gu, mask=inside)
