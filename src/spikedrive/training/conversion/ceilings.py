"""How far a neuron's rate reaches: the ceiling of each layer, from what calibration data make of it."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from spikedrive.errors import unknown_name

Method = Literal["qcfs", "percentile", "max"]
"""Smallest squared error when rounded to T levels; the value that few exceed; the largest value."""

_MOST_VALUES = 1 << 18
_FRACTIONS = 48


def check_method(method: str) -> None:
    """Raise UnknownNameError unless it is one of the three."""
    if method not in get_args(Method):
        raise unknown_name("way to choose ceilings", method, get_args(Method))


def choose_ceiling(
    x: Tensor, *, method: Method, levels: int, percentile: float, top: float, signed: bool = False
) -> float:
    """The ceiling for values like x, which saturate at `top`; 1 where none is above zero.

    *Equation*, with q(x; c) = (c / L) clip(floor(x L / c + 1/2), 0, L):

        qcfs         argmin_c mean (clip(x, 0, top) - q(x; c))^2 over a grid of c
        percentile   the value that `percentile` per cent of the positive values do not exceed
        max          the largest value

    With `signed` the same of |x|.

    *Shapes*: x (...).
    *Source*: minimal squared error is the threshold of "A free lunch from ANN" (Li et al., ICML 2021); the percentile
    that of Rueckauer et al. (2017), the maximum that of Diehl et al. (2015).
    """
    values = (x.abs() if signed else x).clamp(0, top).flatten()
    # every n-th value, with n odd so that no power of two in the shape lines up
    stride = max(1, values.numel() // _MOST_VALUES) | 1
    largest = float(values.max())
    values = values[::stride]
    if largest <= 0:
        return 1.0
    if method == "max":
        return largest
    positive = values[values > 0]
    if method == "percentile":
        return float(torch.quantile(positive, percentile / 100)) if positive.numel() else largest
    if not positive.numel():
        return largest
    # a grid from a fiftieth of the largest value up; zeros cost nothing wherever the ceiling lies
    grid = largest * torch.logspace(-1.7, 0, _FRACTIONS, dtype=x.dtype)
    errors = [float((positive - _rounded(positive, c, levels)).square().mean()) for c in grid]
    return float(grid[min(range(_FRACTIONS), key=errors.__getitem__)])


def _rounded(x: Tensor, ceiling: Tensor, levels: int) -> Tensor:
    return (x * (levels / ceiling) + 0.5).floor().clamp(0, levels) * (ceiling / levels)
