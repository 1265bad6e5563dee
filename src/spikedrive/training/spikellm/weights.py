"""Weights on grids: rounded to nearest, or column by column with GPTQ."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from spikedrive.training.spikellm import grids
from spikedrive.training.spikellm.format import Format

BLOCK = 128
"""Columns of GPTQ whose errors reach the later ones together."""


@dataclass(frozen=True)
class QuantisedWeight:
    """A weight as codes.

    *Shapes*: code (O, C) uint8; scale and zero (O, G); group (C,), the grid of each column; spikes (C,), how many
    spikes a code of the column is made of.
    """

    code: Tensor
    scale: Tensor
    zero: Tensor
    group: Tensor
    spikes: Tensor


def quantise_weight(
    weight: Tensor, form: Format, *, salient: Tensor, order: Tensor, inverse: Tensor | None
) -> QuantisedWeight:
    """The codes of `weight`; salient and other columns never share a grid.

    `order` is the order in which columns are grouped and, with GPTQ, rounded; salient ones come first all the same.
    `inverse` is that of the second moments of the input, which GPTQ needs.

    *Shapes*: weight (O, C), salient (C,) bool, order (C,), inverse (C, C).
    *Source*: GPTQ (arXiv 2210.17323) with its order by curvature; one grid for the salient columns, ours.
    """
    flags = salient[order]
    order = torch.cat([order[flags], order[~flags]])
    spans = _spans(int(flags.sum()), len(order), form)
    w = weight[:, order].clone()
    # the factor of the inverse of H that tells how the columns to come make up for this one
    factor: Tensor | None = None
    if inverse is not None:
        factor = torch.linalg.cholesky(inverse[order][:, order], upper=True)
    code = torch.empty_like(w, dtype=torch.uint8)
    scales: list[Tensor] = []
    zeros: list[Tensor] = []
    group = torch.empty(len(order), dtype=torch.int16)
    for number, (start, stop, spikes) in enumerate(spans):
        scale, zero, tops = _fit(w[:, start:stop], form, spikes)
        group[order[start:stop]] = number
        scales.append(scale)
        zeros.append(zero)
        if factor is None:
            code[:, order[start:stop]] = grids.codes(w[:, start:stop], scale, zero, tops).to(torch.uint8)
            continue
        for first in range(start, stop, BLOCK):
            last = min(first + BLOCK, stop)
            found = _round_block(w, factor, first, last, scale, zero, tops)
            code[:, order[first:last]] = found.to(torch.uint8)
    spikes_of = torch.where(salient, form.weight_spikes, 1).to(torch.uint8)
    return QuantisedWeight(code, torch.cat(scales, 1), torch.cat(zeros, 1), group, spikes_of)


def _spans(salient: int, columns: int, form: Format) -> list[tuple[int, int, int]]:
    """First and last column of each group, and the spikes of its columns."""
    size = form.group or columns
    spans = [(i, min(i + size, salient), form.weight_spikes) for i in range(0, salient, size)]
    return spans + [(i, min(i + size, columns), 1) for i in range(salient, columns, size)]


def _fit(rows: Tensor, form: Format, spikes: int) -> tuple[Tensor, Tensor, grids.Tops]:
    if form.ternary:
        return *grids.fit_signed(rows, spikes), 2 * spikes
    tops = grids.tops_of(form.weight_bits, len(rows))
    # more than one spike has whole bits, so that tops is one number
    tops = tops if spikes == 1 else spikes * int(tops)
    return *grids.fit_affine(rows, tops), tops


def _round_block(
    w: Tensor, factor: Tensor, first: int, last: int, scale: Tensor, zero: Tensor, tops: grids.Tops
) -> Tensor:
    """The codes of columns first .. last; w is changed so that later columns make up for their errors."""
    # columns as rows: each is read and written in one piece
    block, inner = w[:, first:last].T.contiguous(), factor[first:last, first:last]
    found, errors = torch.empty_like(block), torch.empty_like(block)
    flat_scale, flat_zero = scale.flatten(), zero.flatten()
    flat_tops = tops if isinstance(tops, int) else tops.flatten()
    for i, column in enumerate(block):
        found[i] = grids.codes(column, flat_scale, flat_zero, flat_tops)
        errors[i] = (column - grids.values(found[i], flat_scale, flat_zero)) / inner[i, i]
        block[i + 1 :] -= inner[i, i + 1 :, None] * errors[i]
    w[:, last:] -= errors.T @ factor[first:last, last:]
    return found.T
