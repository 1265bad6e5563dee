"""Numbers attached to a tensor that are the same along most of its axes.

A `Spread` is a float64 tensor of the rank of the value that it belongs to, with size 1 along every
axis on which it does not vary: bounds and gains a channel, say, as (1, C, 1, 1). Views of the value
are done on it without ever growing it to the value's size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

Spread = Tensor
Sizes = Sequence[int]


def constant(value: float, rank: int) -> Spread:
    """The same number everywhere."""
    return torch.full((1,) * rank, float(value), dtype=torch.float64)


def ranked(spread: Spread, rank: int) -> Spread:
    """With leading axes of size 1, as broadcasting adds them."""
    return (
        spread.reshape((1,) * (rank - spread.dim()) + tuple(spread.shape)) if spread.dim() < rank else spread
    )


def is_uniform(spread: Spread) -> bool:
    """Whether it is one number.

    >>> is_uniform(torch.ones(1, 3, 1))
    True
    """
    return spread.numel() <= 1 or bool((spread == spread.flatten()[0]).all())


def full(spread: Spread, shape: Sizes) -> Spread:
    """A view of it at the size of its value."""
    return spread.expand(tuple(map(int, shape)))


def reshaped(spread: Spread, old: Sizes, new: Sizes) -> Spread:
    """After the value went from shape `old` to shape `new`.

    >>> reshaped(torch.arange(3.0).reshape(1, 3, 1), (8, 3, 5), (2, 4, 3, 5)).shape
    torch.Size([1, 1, 3, 1])
    """
    old, new = [int(n) for n in old], [int(n) for n in new]
    if math.prod(old) == 0:
        return spread.new_zeros(()).reshape((1,) * len(new))
    grown, target = list(spread.shape), [1] * len(new)
    for (i, i_end), (j, j_end) in _groups(old, new):
        if any(spread.shape[axis] > 1 for axis in range(i, i_end)):
            grown[i:i_end], target[j:j_end] = old[i:i_end], new[j:j_end]
    return spread.expand(grown).reshape(target)


def _groups(old: list[int], new: list[int]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Runs of axes of `old` and `new` that hold the same elements."""
    i = j = 0
    while i < len(old) or j < len(new):
        start_i, start_j = i, j
        left, right = (old[i] if i < len(old) else 1), (new[j] if j < len(new) else 1)
        i, j = min(i + 1, len(old)), min(j + 1, len(new))
        while left != right:
            if left < right:
                left, i = left * old[i], i + 1
            else:
                right, j = right * new[j], j + 1
        yield (start_i, i), (start_j, j)


def expanded(spread: Spread, new: Sizes) -> Spread:
    """After the value was expanded to shape `new`."""
    return ranked(spread, len(new))


def narrowed(spread: Spread, axis: int, index: Callable[[Tensor], Tensor]) -> Spread:
    """After `index` took a part along `axis`."""
    return spread if spread.shape[axis] == 1 else index(spread)


def joined(spreads: Sequence[Spread], shapes: Sequence[Sizes], axis: int) -> Spread:
    """Of the concatenation of values of these shapes along `axis`."""
    if all(s.shape[axis] == 1 and torch.equal(s, spreads[0]) for s in spreads):
        return spreads[0]
    grown = [
        s.expand([*s.shape[:axis], int(n[axis]), *s.shape[axis + 1 :]])
        for s, n in zip(spreads, shapes, strict=True)
    ]
    others = [max(s.shape[a] for s in grown) for a in range(spreads[0].dim())]
    return torch.cat([s.expand([*others[:axis], s.shape[axis], *others[axis + 1 :]]) for s in grown], axis)


def summed(spread: Spread, shape: Sizes, axes: Sequence[int], keepdim: bool) -> Spread:
    """Of the sum of the value over `axes`."""
    for axis in axes:
        varies = spread.shape[axis] > 1
        spread = spread.sum(axis, keepdim=True) if varies else spread * int(shape[axis])
    return spread if keepdim else dropped(spread, axes)


def extreme(spread: Spread, axes: Sequence[int], keepdim: bool, *, highest: bool) -> Spread:
    """The highest or lowest over `axes`."""
    for axis in axes:
        spread = spread.amax(axis, keepdim=True) if highest else spread.amin(axis, keepdim=True)
    return spread if keepdim else dropped(spread, axes)


def dropped(spread: Spread, axes: Sequence[int]) -> Spread:
    """Without `axes`, which must have size 1."""
    return spread.reshape([n for axis, n in enumerate(spread.shape) if axis not in set(axes)])


def varies_only_along(spread: Spread, axes: Sequence[int]) -> bool:
    """Whether every other axis has size 1 or holds one number repeated."""
    rest = [axis for axis in range(spread.dim()) if axis not in set(axes) and spread.shape[axis] > 1]
    return all(bool((spread == spread.narrow(axis, 0, 1)).all()) for axis in rest)


def is_function_of(spread: Spread, tags: Spread) -> bool:
    """Whether elements with equal tags have equal numbers; tags below zero are left out.

    >>> is_function_of(torch.tensor([[5.0, 5.0, 7.0]]), torch.tensor([[1.0, 1.0, 2.0]]))
    True
    """
    if is_uniform(spread):
        return True
    spread, tags = torch.broadcast_tensors(spread, tags)
    kinds, place = torch.unique(tags[tags >= 0], return_inverse=True)
    values = spread[tags >= 0]
    seen = values.new_empty(len(kinds)).index_copy_(0, place, values)
    return bool((seen[place] == values).all())


def is_power_of_two(spread: Spread) -> bool:
    """Whether every number is zero or plus or minus a power of two.

    >>> is_power_of_two(torch.tensor([0.25, -8.0, 0.0])), is_power_of_two(torch.tensor([3.0]))
    (True, False)
    """
    mantissa = torch.frexp(spread.abs())[0]
    return bool(((mantissa == 0.5) | (spread == 0)).all())


def is_sign(spread: Spread) -> bool:
    """Whether every number is -1, 0 or 1."""
    return bool(((spread == 0) | (spread.abs() == 1)).all())
