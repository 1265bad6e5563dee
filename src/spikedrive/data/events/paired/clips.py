"""Labelled clips of two cameras that look at the same scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from spikedrive.data.events.events import Events
from spikedrive.data.images import hold_out
from spikedrive.errors import DataError, ShapeError


class Pictures(Protocol):
    """Pictures in colour, in order of time, read when asked for: `pictures[indices]` is (n, 3, H, W) uint8."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: Tensor, /) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class PairedClip:
    """What both cameras saw: pictures in colour, and events, or pictures that were made of these."""

    rgb: Pictures
    events: Events | Pictures


class PairedClips(Protocol):
    """Clips that are read when asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> PairedClip: ...


@dataclass(frozen=True, eq=False)
class PairedSet:
    """Clips of one pair of cameras, the class of each, and the names of the classes.

    `event_channels` is 2 where the clips have events, by polarity, and 3 where they have pictures of events.

    *Shapes*: labels (clips,) int64, class_names K strings; height and width are those of all pictures and events.
    *Raises*: ShapeError, DataError for parts that do not fit together.
    """

    clips: PairedClips
    labels: Tensor
    class_names: tuple[str, ...]
    width: int
    height: int
    event_channels: int

    def __post_init__(self) -> None:
        labels, classes = self.labels, len(self.class_names)
        if labels.shape != (len(self.clips),) or labels.dtype != torch.int64:
            raise ShapeError(
                f"PairedSet got {len(self.clips)} clips and labels of shape {tuple(labels.shape)} and {labels.dtype}; "
                "one int64 label a clip is taken. Make them with torch.tensor([...])."
            )
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise DataError(
                f"PairedSet got labels from {int(labels.min())} to {int(labels.max())} and {classes} class names; "
                f"labels are at least 0 and below {classes}. Name every class."
            )

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> PairedClip:
        return self.clips[index]

    def subset(self, indices: Tensor) -> PairedSet:
        """The clips at `indices`, in that order.

        *Shapes*: indices (n,) int64.
        """
        chosen = _Chosen(self.clips, indices)
        return PairedSet(
            chosen, self.labels[indices], self.class_names, self.width, self.height, self.event_channels
        )

    def split(self, fraction: float, seed: int = 0) -> tuple[PairedSet, PairedSet]:
        """Two disjoint parts, the second with `fraction` of every class; as `ImageSet.split`.

        *Raises*: ConfigError unless 0 <= fraction < 1.
        """
        held = hold_out(self.labels, len(self.class_names), fraction, seed)
        return self.subset(torch.nonzero(~held).squeeze(1)), self.subset(torch.nonzero(held).squeeze(1))


@dataclass(frozen=True)
class _Chosen:
    """Some of the clips."""

    clips: PairedClips
    indices: Tensor

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> PairedClip:
        return self.clips[int(self.indices[index])]
