"""Grids of numbers: what a code means, and which grid fits a row of weights or a token."""

from __future__ import annotations

import torch
from torch import Tensor

Tops = int | Tensor
"""The largest code: one for all, or one for each row, of shape (rows, 1)."""

FRACTIONS = tuple(0.2 + 0.8 * i / 24 for i in range(25))
"""Of the largest magnitude: the ceilings that `fit_signed` tries."""


def between(low: Tensor, high: Tensor, top: Tops) -> tuple[Tensor, Tensor]:
    """The scale and the zero point of codes 0 .. top that reach from `low` to `high`.

    *Equation*: scale = clip((high - low) / top, 1e-5, 1e4), zero point = round(clip(-low / scale, -1e4, 1e4)).
    *Source*: SpikeLLM's affine quantiser (arXiv 2407.04752); there top is 2^bits - 1.

    >>> [n.item() for n in between(torch.tensor(-1.0), torch.tensor(2.0), 3)]
    [1.0, 1.0]
    """
    scale = ((high - low) / top).clamp(1e-5, 1e4)
    return scale, (-low / scale).clamp(-1e4, 1e4).round()


def fit_affine(rows: Tensor, top: Tops) -> tuple[Tensor, Tensor]:
    """The grid from the smallest to the largest number of each row.

    *Shapes*: rows (..., C) -> scale (..., 1), zero point (..., 1).
    """
    return between(rows.amin(-1, keepdim=True), rows.amax(-1, keepdim=True), top)


def fit_signed(rows: Tensor, spikes: int) -> tuple[Tensor, Tensor]:
    """The grid -spikes .. spikes (codes from 0, zero point `spikes`) with the least squared error, by trial.

    *Shapes*: rows (R, C) -> scale (R, 1), zero point (R, 1).
    """
    largest = rows.abs().amax(-1, keepdim=True)
    zero = torch.full_like(largest, spikes)
    best, least = torch.full_like(largest, 1e-5), torch.full_like(largest, float("inf"))
    for fraction in FRACTIONS:
        scale = (fraction * largest / spikes).clamp(min=1e-5)
        error = (
            (values(codes(rows, scale, zero, 2 * spikes), scale, zero) - rows).square().sum(-1, keepdim=True)
        )
        better = error < least
        best, least = torch.where(better, scale, best), torch.where(better, error, least)
    return best, zero


def codes(x: Tensor, scale: Tensor, zero: Tensor, top: Tops) -> Tensor:
    """The whole numbers 0 .. top nearest to x / scale + zero point (half to even), as floats."""
    wanted = (x / scale).round() + zero
    if isinstance(top, int):
        return wanted.clamp(0, top)
    return wanted.clamp(min=0).minimum(top.to(wanted))


def values(code: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """What codes stand for: (code - zero point) * scale."""
    return (code - zero) * scale


def tops_of(bits: float, rows: int) -> Tops:
    """The largest code of each row, so that the rows have `bits` on average.

    A fraction of a bit is made of rows with one level more than others, spread evenly: what a plain quantiser does
    with the same number of bits as one with spikes.

    >>> tops_of(4, 2), tops_of(1.5, 4).flatten().tolist()
    (15, [1.0, 2.0, 2.0, 2.0])
    """
    if float(bits).is_integer():
        return 2 ** int(bits) - 1
    levels = int(2**bits)
    below, above = (torch.tensor(float(n)).log2().item() for n in (levels, levels + 1))
    share = (bits - below) / (above - below)
    places = torch.arange(1, rows + 1, dtype=torch.float64) * share
    # a row gets one level more wherever the running share passes a whole number
    more = (places + 1e-9).floor().diff(prepend=torch.zeros(1, dtype=torch.float64))
    return (levels - 1 + more).float().unsqueeze(1)
