"""Frames and voxel grids on the compiled module: one pass over the events."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spikedrive import native
from spikedrive.ops.events.batch import EventBatch


def frames(batch: EventBatch, steps: int, by_count: bool, bin: float | None, levels: int | None) -> Tensor:
    """As `reference.frames`."""
    y = torch.empty(steps, len(batch), 2, batch.height, batch.width)
    columns, described = _described(batch, steps)
    wrong = native.train.event_frames(described, by_count, bin or 0.0, levels or 0, y.data_ptr())
    del columns
    return _checked(batch, wrong, y)


def voxel_grid(batch: EventBatch, steps: int, signed: bool) -> Tensor:
    """As `reference.voxel_grid`."""
    y = torch.empty(steps, len(batch), 1 if signed else 2, batch.height, batch.width)
    columns, described = _described(batch, steps)
    wrong = native.train.event_voxel_grid(described, signed, y.data_ptr())
    del columns
    return _checked(batch, wrong, y)


def _described(batch: EventBatch, steps: int) -> tuple[list[Tensor], Any]:
    """The columns, which must live as long as their addresses are read, and the batch as the module takes it."""
    columns = [
        column.contiguous()
        for column in (batch.t, batch.x, batch.y, batch.p, batch.offsets, batch.begin, batch.end)
    ]
    described = native.train.events(
        len(batch), batch.t.dtype == torch.float64, *(column.data_ptr() for column in columns), batch.width,
        batch.height, steps, torch.get_num_threads(),
    )  # fmt: skip
    return columns, described


def _checked(batch: EventBatch, wrong: int, y: Tensor) -> Tensor:
    if wrong >= 0:
        batch.refuse(wrong)
    return y
