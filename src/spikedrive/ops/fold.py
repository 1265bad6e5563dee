"""The only place where time and batch become one axis."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from spikedrive.errors import ShapeError


def over_time(fn: Callable[..., Tensor], x: Tensor, *others: Tensor) -> Tensor:
    """Apply a time-blind `fn` to every step at once.

    Shapes: `x` and the others `(T, B, ...)`, `fn (N, ...) -> (N, ...)`, result `(T, B, ...)`.
    Raises: ShapeError when x has fewer than three axes.
    """
    if x.dim() < 3:
        raise ShapeError(
            f"over_time got x of shape {tuple(x.shape)}; it takes (T, B, ...). "
            "Encode first: encoders.Direct(steps=4)(x)."
        )
    steps, batch = x.shape[:2]
    y = fn(*(each.flatten(0, 1) for each in (x, *others)))
    return y.unflatten(0, (steps, batch))
