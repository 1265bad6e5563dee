"""Clips of events as flat tensors, one clip behind the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float64, Int32, Int64, UInt8
from torch import Tensor

from spikedrive.errors import ShapeError, ValueRangeError


@dataclass(frozen=True, eq=False)
class EventBatch:
    """The events of B clips of one sensor; clip b has those from offsets[b] to offsets[b + 1], in order of time.

    *Shapes*: t, x, y, p (N,), offsets (B + 1,) from 0 to N, begin and end (B,).
    *Units*: t, begin and end in microseconds (or any other unit of time, fractions as float64); x and y in pixels;
    polarity 0 or 1. A clip's time goes from `begin` to `end`: its first and last event, or the window that it was cut
    with.
    *Raises*: ShapeError for columns that do not fit together.
    """

    t: Int64[Tensor, "N"] | Float64[Tensor, "N"]
    x: Int32[Tensor, "N"]
    y: Int32[Tensor, "N"]
    p: UInt8[Tensor, "N"]
    offsets: Int64[Tensor, "B1"]
    begin: Int64[Tensor, "B"] | Float64[Tensor, "B"]
    end: Int64[Tensor, "B"] | Float64[Tensor, "B"]
    width: int
    height: int

    def __post_init__(self) -> None:
        types = {"x": torch.int32, "y": torch.int32, "p": torch.uint8, "offsets": torch.int64}
        columns = all(getattr(self, name).dtype == dtype for name, dtype in types.items())
        times = (
            self.t.dtype in (torch.int64, torch.float64)
            and self.begin.dtype == self.end.dtype == self.t.dtype
        )
        lengths = self.t.dim() == 1 and self.t.shape == self.x.shape == self.y.shape == self.p.shape
        clips = self.begin.dim() == 1 and self.begin.shape == self.end.shape
        clips = clips and self.offsets.shape == (len(self.begin) + 1,)
        if not (columns and times and lengths and clips):
            got = ", ".join(
                f"{name} {tuple(getattr(self, name).shape)} {str(getattr(self, name).dtype).removeprefix('torch.')}"
                for name in ("t", "x", "y", "p", "offsets", "begin", "end")
            )
            raise ShapeError(
                f"EventBatch got {got}; it takes t, x, y, p of one length, offsets one longer than begin and end, x "
                "and y int32, p uint8, offsets int64, and times of one type, int64 or float64. Make one with "
                "data.events.batch_events."
            )

    def __len__(self) -> int:
        return len(self.begin)

    @property
    def counts(self) -> Int64[Tensor, "B"]:
        """How many events each clip has."""
        return self.offsets.diff()

    @property
    def clip(self) -> Int64[Tensor, "N"]:
        """The clip of each event."""
        clips = torch.arange(len(self), device=self.t.device)
        return clips.repeat_interleave(self.counts, output_size=len(self.t))

    def to(self, device: torch.device | str) -> EventBatch:
        """The same on that device."""
        names = ("t", "x", "y", "p", "offsets", "begin", "end")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def check_offsets(self) -> None:
        """Raise ShapeError unless the offsets ascend from 0 to N."""
        ascending = bool((self.counts >= 0).all())
        if not (int(self.offsets[0]) == 0 and int(self.offsets[-1]) == len(self.t) and ascending):
            raise ShapeError(
                f"EventBatch got offsets from {int(self.offsets[0])} to {int(self.offsets[-1])} for {len(self.t)} "
                "events; they ascend from 0 to the number of events. Make one with data.events.batch_events."
            )

    def refuse(self, i: int) -> None:
        """Raise ValueRangeError for the event i, which is none of this sensor and time."""
        b = int((self.offsets[1:] <= i).sum())
        raise ValueRangeError(
            f"Event {i} has t = {self.t[i]}, x = {self.x[i]}, y = {self.y[i]}, p = {self.p[i]}; clip {b} takes times "
            f"from {self.begin[b]} to {self.end[b]}, x below {self.width}, y below {self.height}, none negative, and "
            "polarity 0 or 1. Crop the events, or give the sensor's size."
        )
