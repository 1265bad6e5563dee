"""Spikes that the layers of a block keep for the backward pass, as bits.

A convolution or linear layer keeps its whole input for the gradient of its weight: 32 bits for a spike.
Inside `packed_activations` every kept tensor of exact 0s and 1s becomes one bit an element, and one of whole numbers
0..15 four bits; all others stay as they are. The gradients are the same to the last bit.
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

_WIDTHS = (1, 4)


class Packed(NamedTuple):
    """A tensor of whole numbers as `bits` bits an element, in the order of its memory."""

    data: Tensor
    bits: int
    dtype: torch.dtype
    shape: torch.Size
    strides: tuple[int, ...]


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
    """x in one or four bits an element; None where its values are no whole numbers from 0 to 15.

    Minus zero, which would come back as zero, is refused too.
    """
    if not x.is_floating_point() or not layout.is_dense(x):
        return None
    for bits in _WIDTHS:
        data = _native_pack(x, bits) if _is_native(x) else _plain_pack(x, bits)
        if data is not None:
            return Packed(data, bits, x.dtype, x.shape, x.stride())
    return None


def unpack(p: Packed) -> Tensor:
    """The tensor that `pack` was given, with its strides."""
    x = torch.empty_strided(p.shape, p.strides, dtype=p.dtype, device=p.data.device)
    if _is_native(x):
        native.train.unpack(p.data.data_ptr(), x.numel(), NATIVE_TYPES[x.dtype], x.data_ptr(), p.bits)
        return x
    shifts = torch.arange(0, 8, p.bits, dtype=torch.uint8, device=x.device)
    values = (p.data[:, None] >> shifts) & (2**p.bits - 1)
    _flat(x).copy_(values.flatten()[: x.numel()])
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


def _native_pack(x: Tensor, bits: int) -> Tensor | None:
    data = torch.empty(-(-x.numel() * bits // 8), dtype=torch.uint8)
    fits = native.train.pack(x.data_ptr(), x.numel(), NATIVE_TYPES[x.dtype], data.data_ptr(), bits)
    return data if fits else None


def _plain_pack(x: Tensor, bits: int) -> Tensor | None:
    flat, each = _flat(x), 8 // bits
    values = flat.clamp(0, 2**bits - 1).nan_to_num().to(torch.uint8)
    if not bool(((values == flat) & ~flat.signbit()).all()):
        return None
    filled = torch.nn.functional.pad(values, (0, -len(values) % each)).view(-1, each)
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=x.device)
    return (filled << shifts).sum(1, dtype=torch.uint8)


def _flat(x: Tensor) -> Tensor:
    """The elements in the order of memory, which has no gaps."""
    return x.as_strided((x.numel(),), (1,))
