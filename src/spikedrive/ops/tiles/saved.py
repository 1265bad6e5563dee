"""What a forward kernel keeps for its backward kernel, written and read a block of elements at a time.

Bits: plane after plane of ceil(N / 8) bytes, element i in bit i % 8 of byte i // 8.
Half: the surrogate's slope, which is never negative, in float16, under a sign bit that is clear where the
neuron fired. Full: the membrane h.
"""

from __future__ import annotations

import triton
import triton.language as tl

BITS: tl.constexpr = tl.constexpr(1)
HALF: tl.constexpr = tl.constexpr(2)
FULL: tl.constexpr = tl.constexpr(3)


@triton.jit
def store_bits(plane, first, size, mask, BLOCK: tl.constexpr):
    """Write the booleans of a block that begins at element `first`, a multiple of 8."""
    byte = first // 8 + tl.arange(0, BLOCK // 8)
    bits = tl.reshape(mask.to(tl.int32), (BLOCK // 8, 8)) << tl.arange(0, 8)[None, :]
    tl.store(plane + byte, tl.sum(bits, 1).to(tl.uint8), mask=byte < (size + 7) // 8)


@triton.jit
def load_bits(plane, at, inside):
    """The booleans of elements `at`."""
    byte = tl.load(plane + at // 8, mask=inside, other=0).to(tl.int32)
    return ((byte >> (at % 8).to(tl.int32)) & 1) != 0


@triton.jit
def to_half(slope, fired):
    """A slope and whether the neuron fired as 16 bits."""
    bits = slope.to(tl.float16).to(tl.int16, bitcast=True).to(tl.int32)
    return tl.where(fired, bits, bits | 0x8000).to(tl.int16)


@triton.jit
def from_half(half):
    """The slope in float32, and whether the neuron fired."""
    slope = (half & 0x7FFF).to(tl.int16).to(tl.float16, bitcast=True)
    return slope.to(tl.float32), half >= 0
