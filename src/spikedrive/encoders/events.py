"""Binned events: what an event camera reported, as frames of counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikedrive.errors import ConfigError, ShapeError, ValueRangeError, unknown_name
from spikedrive.neurons.neuron import check_count, check_number
from spikedrive.ops.domain import Domain
from spikedrive.ops.events import By, EventBatch, frames, frames_domain


class BinnedEvents:
    """Count events by step, polarity and place.

    *Equation*: y[b, p, y, x] is the number of events of polarity p at (x, y) in bin b. An event falls into bin

        by="time"   floor((t - t_0) / bin), and with bin=None bin = (t_end - t_0) / steps
        by="count"  floor(i / bin) for the i-th event, and with bin=None floor(i steps / N): as equal as can be

    With bin=None every event is counted, the last one in the last bin; with a size for the bins, those after the
    last bin are dropped. `levels` limits each count.

    *Shapes*: events (N, 4) with columns t, x, y, p, or a structured array with these names -> (steps, 2, H, W),
    without a batch axis, which `torch.stack(..., 1)` adds. Polarity is 0 or 1, or -1 or 1.
    *Units*: the bin in the unit of t (time) or in events (count).
    *Multiplies*: none; the first layer meets integers.
    *Raises*: ConfigError for a size, bin or levels that is not positive; ShapeError, ValueRangeError for events
    that are none: another shape, outside the sensor, not in order of time, another polarity.

    >>> BinnedEvents(2, 3, steps=2)(np.array([[0, 1, 0, 1], [5, 1, 0, 1], [9, 2, 1, 0]])).sum((1, 2, 3)).tolist()
    [1.0, 2.0]
    """

    def __init__(
        self,
        height: int,
        width: int,
        *,
        steps: int,
        by: By = "time",
        bin: float | None = None,
        levels: int | None = None,
    ) -> None:
        for name, size in (("height", height), ("width", width), ("steps", steps)):
            check_count("BinnedEvents", name, size)
        if by not in ("time", "count"):
            raise unknown_name("way to bin events", by, ("time", "count"))
        if bin is not None:
            check_number("BinnedEvents", "bin", bin, above=0)
            if by == "count" and bin != int(bin):
                raise ConfigError(
                    f"BinnedEvents got by='count' and bin={bin}; a bin holds a whole number of events. Round it."
                )
        if levels is not None:
            check_count("BinnedEvents", "levels", levels)
        self.height, self.width, self.steps = int(height), int(width), int(steps)
        self.by: By = by
        self.bin, self.levels = bin, levels

    @property
    def domain(self) -> Domain | None:
        """Integers 0..levels, binary for one level; None for counts without a limit, which no domain holds."""
        return frames_domain(self.levels)

    def __call__(self, events: Any) -> Tensor:
        """The counts of one recording."""
        t, x, y, p = self._columns(events)
        t = torch.from_numpy(t.astype(np.int64 if t.dtype.kind in "iub" else np.float64))
        x, y = (torch.from_numpy(column.astype(np.int32)) for column in (x, y))
        begin, end = (t[:1], t[-1:]) if len(t) else (t.new_zeros(1), t.new_zeros(1))
        offsets = torch.tensor([0, len(t)])
        batch = EventBatch(
            t, x, y, torch.from_numpy(p.astype(np.uint8)), offsets, begin, end, self.width, self.height
        )
        return frames(batch, steps=self.steps, by=self.by, bin=self.bin, levels=self.levels)[:, 0]

    def _columns(self, events: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        if isinstance(events, Tensor):
            events = events.numpy(force=True)
        table = np.asarray(events)
        if table.dtype.names is not None and {"t", "x", "y", "p"} <= set(table.dtype.names):
            t, x, y, p = (table[name] for name in ("t", "x", "y", "p"))
        elif table.ndim == 2 and table.shape[1] == 4:
            t, x, y, p = table.T
        else:
            raise ShapeError(
                f"BinnedEvents got an array of shape {table.shape} and type {table.dtype}; it takes (N, 4) with "
                "columns t, x, y, p, or a structured array with these names. Rearrange the columns."
            )
        x, y, p = (np.asarray(column).astype(np.int64) for column in (x, y, p))
        self._check(t, x, y, p)
        return t, x, y, np.maximum(p, 0)

    def _check(self, t: np.ndarray, x: np.ndarray, y: np.ndarray, p: np.ndarray) -> None:
        for name, column, size in (("x", x, self.width), ("y", y, self.height)):
            if len(column) and (column.min() < 0 or column.max() >= size):
                raise ValueRangeError(
                    f"BinnedEvents got {name} from {column.min()} to {column.max()}; the sensor has 0 to {size - 1}. "
                    "Give the sensor's height and width, or crop the events."
                )
        if not np.isin(p, (-1, 0, 1)).all() or ((p == -1).any() and (p == 0).any()):
            raise ValueRangeError(
                f"BinnedEvents got the polarities {np.unique(p)[:5].tolist()}; it takes 0 and 1, or -1 and 1. Map them."
            )
        if not (np.diff(t.astype(np.float64)) >= 0).all():
            raise ValueRangeError(
                "BinnedEvents got events that go back in time; it takes them in order. Sort them by t first."
            )
