"""How a scan's elements lie in memory: it goes over them as they lie, so that strides out are strides in."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def is_dense(x: Tensor) -> bool:
    """Whether the elements fill their memory without gaps or overlaps, in whatever order of axes."""
    if x.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted((s, n) for s, n in zip(x.stride(), x.shape, strict=True) if n != 1):
        if stride != expected:
            return False
        expected *= size
    return True


def by_steps(x: Tensor) -> Tensor:
    """x itself where its steps are dense and lie one after the other, as in channels_last; else a contiguous copy.

    Shapes: x (T, B, ...) -> (T, B, ...).
    """
    if x.is_contiguous():
        return x
    whole = is_dense(x) and (x.shape[0] == 1 or x.stride(0) * x.shape[0] == x.numel())
    return x if whole else x.contiguous()


def like(y: Tensor, strides: tuple[Any, ...]) -> Tensor:
    """y with these strides; y itself where it has them."""
    if y.stride() == strides:
        return y
    return y.new_empty_strided(y.shape, strides).copy_(y)
