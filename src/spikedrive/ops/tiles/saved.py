"""What a forward kernel keeps for its backward kernel, written and read a block of elements at a time.

Bits: plane after plane of ceil(N / 8) bytes, element i in bit i % 8 of byte i // 8.
Half: the upper 16 bits of |h - threshold|, rounded to nearest even, under a sign bit that is clear where
the neuron fired, so that the spike survives the rounding whatever the threshold includes.
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
def to_half(u, fired):
    """Float32 u as 16 bits."""
    bits = tl.abs(u).to(tl.int32, bitcast=True)
    upper = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return tl.where(fired, upper, upper | 0x8000).to(tl.int16)


@triton.jit
def from_half(half):
    """Float32 u, and whether the neuron fired."""
    return (half.to(tl.int32) << 16).to(tl.float32, bitcast=True), half >= 0
