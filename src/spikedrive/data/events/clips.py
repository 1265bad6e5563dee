"""Labelled clips of events: what a classifier of events learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from spikedrive.data.events.events import EVENT, Events
from spikedrive.data.images import hold_out
from spikedrive.errors import DataError, ShapeError


class Clips(Protocol):
    """Recordings that are read when asked for; `clips[i]` has times from 0 on."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Events: ...


@dataclass(frozen=True, eq=False)
class PackedClips:
    """Clips one after another in one array, which may be a file mapped into memory.

    *Shapes*: array (N,) of `EVENT`, starts (clips + 1,) from 0 to N.
    *Raises*: ShapeError for parts that do not fit together.

    >>> clips = PackedClips(np.array([(5, 0, 0, 1), (9, 1, 0, 0)], EVENT), np.array([0, 1, 2]), 2, 1)
    >>> len(clips), clips[1].array["t"].tolist()
    (2, [9])
    """

    array: np.ndarray
    starts: np.ndarray
    width: int
    height: int

    def __post_init__(self) -> None:
        starts = np.asarray(self.starts)
        fits = starts.ndim == 1 and len(starts) and starts[0] == 0 and starts[-1] == len(self.array)
        if self.array.dtype != EVENT or not fits or (np.diff(starts) < 0).any():
            raise ShapeError(
                f"PackedClips got {len(self.array)} events of {self.array.dtype} and starts of shape {starts.shape}; "
                "events of EVENT and ascending starts from 0 to their number are taken. Pack them with "
                "PackedClips.of(clips)."
            )

    @classmethod
    def of(cls, clips: Sequence[Events]) -> PackedClips:
        """One array of several clips.

        *Raises*: DataError for none, or several sensors.
        """
        whole = Events.joined(list(clips))
        starts = np.cumsum([0, *(len(clip) for clip in clips)])
        return cls(whole.array, starts, whole.width, whole.height)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int, /) -> Events:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        part = self.array[int(self.starts[index]) : int(self.starts[index + 1])]
        return Events(np.asarray(part), self.width, self.height)


@dataclass(frozen=True, eq=False)
class EventSet:
    """Clips of one sensor, the class of each, and the names of the classes.

    *Shapes*: labels (clips,) int64, class_names K strings.
    *Raises*: ShapeError, DataError for parts that do not fit together.

    >>> clips = PackedClips(np.zeros(2, EVENT), np.array([0, 1, 2]), 4, 4)
    >>> pair = EventSet(clips, torch.tensor([0, 1]), ("left", "right"), 4, 4)
    >>> len(pair), len(pair[0]), pair.subset(torch.tensor([1])).labels.tolist()
    (2, 1, [1])
    """

    clips: Clips
    labels: Tensor
    class_names: tuple[str, ...]
    width: int
    height: int

    def __post_init__(self) -> None:
        labels, classes = self.labels, len(self.class_names)
        if labels.shape != (len(self.clips),) or labels.dtype != torch.int64:
            raise ShapeError(
                f"EventSet got {len(self.clips)} clips and labels of shape {tuple(labels.shape)} and {labels.dtype}; "
                "one int64 label a clip is taken. Make them with torch.tensor([...])."
            )
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise DataError(
                f"EventSet got labels from {int(labels.min())} to {int(labels.max())} and {classes} class names; "
                f"labels are at least 0 and below {classes}. Name every class."
            )

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Events:
        return self.clips[index]

    def subset(self, indices: Tensor) -> EventSet:
        """The clips at `indices`, in that order.

        *Shapes*: indices (n,) int64.
        """
        chosen = _Chosen(self.clips, indices)
        return EventSet(chosen, self.labels[indices], self.class_names, self.width, self.height)

    def split(self, fraction: float, seed: int = 0) -> tuple[EventSet, EventSet]:
        """Two disjoint parts, the second with `fraction` of every class; as `ImageSet.split`.

        *Raises*: ConfigError unless 0 <= fraction < 1.
        """
        held = hold_out(self.labels, len(self.class_names), fraction, seed)
        return self.subset(torch.nonzero(~held).squeeze(1)), self.subset(torch.nonzero(held).squeeze(1))


@dataclass(frozen=True)
class _Chosen:
    """Some of the clips."""

    clips: Clips
    indices: Tensor

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> Events:
        return self.clips[int(self.indices[index])]
