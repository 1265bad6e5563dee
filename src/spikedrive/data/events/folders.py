"""A folder of recordings with one folder a class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from spikedrive.data.events.clips import EventSet
from spikedrive.data.events.events import Events
from spikedrive.data.events.recording import FORMATS, open_recording
from spikedrive.errors import DataError

SPLITS = ("train", "val", "test")


class RecordedClips:
    """Recordings that are read when asked for, their times from 0 on."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> Events:
        return from_zero(open_recording(self.paths[index]).read())


def from_zero(events: Events) -> Events:
    """The same events with times that start at 0."""
    if not len(events) or events.array["t"][0] == 0:
        return events
    array = events.array.copy()
    array["t"] -= array["t"][0]
    return Events(array, events.width, events.height)


def open_folder(root: Path) -> Mapping[str, Callable[[], EventSet]]:
    """The splits of a folder: train/, val/ and test/ with a folder a class each, or class folders alone (train).

    *Raises*: DataError for a folder without recordings; when a split is opened, for recordings of several sensors.
    """
    found = {name: root / name for name in SPLITS if (root / name).is_dir()}
    parts = found or {"train": root}
    names = sorted({each.name for part in parts.values() for each in part.iterdir() if _recordings(each)})
    if not names:
        raise DataError(
            f"{root} holds no recordings; one folder a class is taken, under train/, val/ and test/ or directly, with "
            f"files that end in {', '.join(FORMATS)}. Check the path."
        )
    return {name: _opener(part, tuple(names)) for name, part in parts.items()}


def _opener(root: Path, names: tuple[str, ...]) -> Callable[[], EventSet]:
    def opened() -> EventSet:
        files = [(path, label) for label, name in enumerate(names) for path in _recordings(root / name)]
        if not files:
            raise DataError(
                f"{root} holds no recordings; each split has some. Remove the folder, or add some."
            )
        sizes: dict[tuple[int, int], Path] = {}
        for path, _ in files:
            recording = open_recording(path)
            sizes.setdefault((recording.width, recording.height), path)
        if len(sizes) > 1:
            (one, first), (other, second) = list(sizes.items())[:2]
            raise DataError(
                f"{first} is of a sensor of {one[0]} x {one[1]}, and {second} of {other[0]} x {other[1]}; the clips of "
                "a set are of one. Sort them into folders of their own."
            )
        ((width, height),) = sizes
        labels = torch.tensor([label for _, label in files])
        return EventSet(RecordedClips([path for path, _ in files]), labels, names, width, height)

    return opened


def _recordings(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in FORMATS)
