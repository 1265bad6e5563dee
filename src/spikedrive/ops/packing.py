"""Spikes that the layers of a block keep for the backward pass, as bits.

A convolution or linear layer keeps its whole input for the gradient of its weight: 32 bits for a spike.
Inside `packed_activations` every kept tensor of whole numbers times one scale takes fewer: 0 and 1 one bit an
element, -1, 0 and 1 two, 0..15 four; all others stay as they are. The gradients are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spikedrive import native
from spikedrive.ops import layout
from spikedrive.ops.implementation import NATIVE_TYPES

LEAST = 4096
"""Tensors of fewer elements are left alone."""

_RANGES = ((1, 0), (2, -1), (4, 0))
"""Bits an element, and the least whole number that they hold."""

_SAMPLES = 512
"""How many elements are looked at for a scale; a wrong one costs memory only."""


class Packed(NamedTuple):
    """A tensor of numbers scale * n as planes of bits, in the order of its memory; n is at least `low`."""

    data: Tensor
    low: int
    scale: float
    dtype: torch.dtype
    shape: torch.Size
    strides: tuple[int, ...]

    @property
    def bits(self) -> int:
        """How many an element takes."""
        return len(self.data)


@contextmanager
def packed_activations() -> Iterator[None]:
    """Keep what the operations inside save for the backward pass as bits, where it is spikes.

    >>> import torch
    >>> layer, x = torch.nn.Linear(64, 8), (torch.rand(100, 64) < 0.2).float()
    >>> with packed_activations():
    ...     y = layer(x)
    >>> y.sum().backward()
    """
    with torch.autograd.graph.saved_tensors_hooks(_pack_saved, _unpack_saved):
        yield


def pack(x: Tensor) -> Packed | None:
    """x in one, two or four bits an element; None where its values are no such whole numbers times one scale.

    Minus zero, which would come back as zero, is refused too.
    """
    if not x.is_floating_point() or not layout.is_dense(x):
        return None
    for scale in _scales(x):
        for bits, low in _RANGES:
            data = (_native_pack if _is_native(x) else _plain_pack)(x, bits, low, scale)
            if data is not None:
                return Packed(data, low, scale, x.dtype, x.shape, x.stride())
    return None


def unpack(p: Packed) -> Tensor:
    """The tensor that `pack` was given, with its strides."""
    x = torch.empty_strided(p.shape, p.strides, dtype=p.dtype, device=p.data.device)
    if _is_native(x):
        native.train.unpack(*_described(x, p.bits, p.low, p.scale), p.data.data_ptr(), x.data_ptr())
        return x
    places = torch.arange(8, dtype=torch.uint8, device=x.device)
    weights = 2 ** torch.arange(p.bits, dtype=x.dtype, device=x.device)
    bits = ((p.data[:, :, None] >> places) & 1).flatten(1)[:, : x.numel()]
    _flat(x).copy_(((bits * weights[:, None]).sum(0) + p.low) * p.scale)
    return x


def _pack_saved(x: Tensor) -> Any:
    # a parameter is held by its module anyway
    if x.numel() < LEAST or (x.is_leaf and x.requires_grad):
        return x
    packed = pack(x.detach())
    return x if packed is None else packed


def _unpack_saved(kept: Any) -> Tensor:
    return unpack(kept) if isinstance(kept, Packed) else kept


def _is_native(x: Tensor) -> bool:
    return native.train is not None and x.device.type == "cpu" and x.dtype in NATIVE_TYPES


def _scales(x: Tensor) -> Iterator[float]:
    """What x may be whole numbers of: 1, else the smallest size among some of its elements."""
    yield 1.0
    sizes = _flat(x)[:: max(1, x.numel() // _SAMPLES)].abs()
    sizes = sizes[sizes > 0]
    smallest = sizes.min().item() if len(sizes) else 1.0
    if smallest != 1.0:
        yield smallest


def _native_pack(x: Tensor, bits: int, low: int, scale: float) -> Tensor | None:
    data = torch.empty(bits, -(-x.numel() // 8), dtype=torch.uint8)
    fits = native.train.pack(*_described(x, bits, low, scale), x.data_ptr(), data.data_ptr())
    return data if fits else None


def _plain_pack(x: Tensor, bits: int, low: int, scale: float) -> Tensor | None:
    flat = _flat(x)
    numbers = (flat / scale).round()
    fits = (
        (numbers * scale == flat)
        & (numbers >= low)
        & (numbers < low + 2**bits)
        & ((flat != 0) | ~flat.signbit())
    )
    if not bool(fits.all()):
        return None
    bytewise = torch.nn.functional.pad((numbers - low).to(torch.uint8), (0, -len(flat) % 8)).view(-1, 8)
    places, planes = (torch.arange(n, dtype=torch.uint8, device=x.device) for n in (8, bits))
    return (((bytewise >> planes[:, None, None]) & 1) << places).sum(-1, dtype=torch.uint8)


def _described(x: Tensor, bits: int, low: int, scale: float) -> tuple[int, int, int, int, int, float]:
    return native.level(), x.numel(), NATIVE_TYPES[x.dtype], bits, low, scale


def _flat(x: Tensor) -> Tensor:
    """The elements in the order of memory, which has no gaps."""
    return x.as_strided((x.numel(),), (1,))
