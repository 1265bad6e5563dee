"""One function for every place where clips of video come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial

from spikedrive.data.video.clips import VideoSet
from spikedrive.data.video.moving_shapes import CLIPS, moving_shapes
from spikedrive.errors import DataError
from spikedrive.registry import Registry

VIDEO_SETS: Registry[Mapping[str, Callable[[], VideoSet]]] = Registry("set of video clips")
"""From a name to what opens each of its splits."""
# drawn once a process
VIDEO_SETS.add("moving_shapes", {split: cache(partial(moving_shapes, split)) for split in CLIPS})


def load_video(source: str, split: str = "train") -> VideoSet:
    """The clips of one split of `source`, a name of `VIDEO_SETS`.

    *Raises*: UnknownNameError for another source, DataError for a split that it does not have.
    """
    splits = VIDEO_SETS[source]
    if split not in splits:
        raise DataError(
            f"{source} has no split {split!r}; it has {', '.join(splits)}. Ask for one of these, or divide one with "
            "VideoSet.split."
        )
    return splits[split]()


def list_video_splits(source: str) -> tuple[str, ...]:
    """The splits that `load_video` can read from `source`."""
    return tuple(VIDEO_SETS[source])
