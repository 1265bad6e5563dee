"""Clips that each lie in a file of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from spikedrive.data.events.clips import EventSet
from spikedrive.data.events.events import EVENT, Events, check_events
from spikedrive.data.events.recording import FORMATS, PIECE
from spikedrive.errors import DataError


@dataclass(frozen=True, eq=False)
class FileClips:
    """Files that are read when a clip is asked for.

    `read(path)` gives a structured array (N,) with t, x, y, p.
    """

    paths: tuple[Path, ...]
    read: Callable[[Path], np.ndarray]
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> Events:
        path = self.paths[index]
        return clip_of(self.read(path), self.width, self.height, path)


def clip_of(array: np.ndarray, width: int, height: int, where: object, *, start: int | None = None) -> Events:
    """Events in order of time, which counts from `start` or from the first of them.

    Some published files have events out of order; they are sorted, and those of one time stay as they are.

    *Raises*: DataError for events that are outside the sensor or are none.
    """
    if len(array) and (np.diff(array["t"]) < 0).any():
        array = array[np.argsort(array["t"], kind="stable")]
    try:
        events = check_events(array, width=width, height=height)
    except DataError as error:
        raise DataError(f"{where} holds what is no clip. {error}") from error
    if len(events):
        events.array["t"] -= events.array["t"][0] if start is None else start
    return events


def read_recording(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """All events of a file in one of `FORMATS`, in the order in which they stand there; `size` as in `open_recording`.

    *Shapes*: structured (N,) with t, x, y, p.
    """
    parts = list(FORMATS[path.suffix].open(path, size).pieces(PIECE))
    return np.concatenate(parts) if parts else np.zeros(0, EVENT)


def read_list(path: Path, fields: int) -> list[list[str]]:
    """The lines of a list, each of at least so many fields with spaces between them; empty ones are passed over.

    *Raises*: DataError for a line with fewer, or none at all.
    """
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    short = next((line for line in lines if len(line) < fields), None)
    if short is not None or not lines:
        raise DataError(
            f"{path} has {'no lines' if short is None else f'the line {short}'}; {fields} fields or more a line, with "
            "spaces between them, are taken. Copy it again."
        )
    return lines


def in_classes(
    folders: Sequence[tuple[str, Sequence[Path]]],
    read: Callable[[Path], np.ndarray],
    width: int,
    height: int,
) -> EventSet:
    """A set of the files of each class, in the order of the classes."""
    paths = tuple(path for _, files in folders for path in files)
    counts = torch.tensor([len(files) for _, files in folders])
    labels = torch.repeat_interleave(torch.arange(len(folders)), counts)
    names = tuple(name for name, _ in folders)
    return EventSet(FileClips(paths, read, width, height), labels, names, width, height)
