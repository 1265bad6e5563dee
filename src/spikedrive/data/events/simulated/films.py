"""What a simulated camera looks at, from files: frames of a folder or an array, or a gaze over one picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from os import PathLike
from pathlib import Path

import numpy as np

from spikedrive.data.events.simulated.scenes import render, saccades
from spikedrive.data.pictures import SUFFIXES, read_image
from spikedrive.errors import ConfigError, DataError

GAZE = 3.0
"""Pixels by which the gaze of N-MNIST leaves the middle."""


@dataclass(frozen=True)
class Film:
    """Pictures with their times, made when they are asked for; iterate as often as needed.

    *Shapes*: each picture (height, width), uint8 or 0..1. *Units*: times in microseconds.
    """

    width: int
    height: int
    frames: int
    path: Path
    fps: float
    gaze: float

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        if self.path.is_dir():
            pictures = (_gray(file, (self.height, self.width)) for file in _files(self.path))
        elif self.path.suffix.lower() == ".npy":
            pictures = iter(_array(self.path))
        else:
            yield from self._wander()
            return
        for number, picture in zip(count(), pictures):
            yield picture, 1e6 * number / self.fps

    def _wander(self) -> Iterator[tuple[np.ndarray, float]]:
        still = read_image(self.path, None, 1).float() / 255
        # the field is the picture without the border that the gaze would leave
        shifts, times = saccades(
            [(self.gaze * dx, self.gaze * dy) for dx, dy in ((-1, -1), (0, 1), (1, -1), (-1, -1))]
        )
        for shift, time in zip(shifts, times.tolist(), strict=True):
            seen = render(still, size=(self.height, self.width), shift=shift.view(1, 1, 2))
            # bilinear weights may add up to a rounding error above one
            yield seen[0, 0].clamp(0, 1).numpy(), time


def open_film(path: str | PathLike[str], *, fps: float = 30.0, gaze: float = GAZE) -> Film:
    """A folder of PNG or JPEG files in order of their names, an .npy file (N, H, W) of uint8 or 0..1, or one picture.

    Over one picture the gaze goes around a triangle in 300 ms, `gaze` pixels away from its middle; a border of as much
    is cut off. Colours become gray. `fps` are frames a second of a folder or an array.

    *Raises*: DataError for files that are missing, damaged, of several sizes or too few; ConfigError for fps or gaze.
    """
    path = Path(path)
    if not 0 < fps < float("inf") or not 0 < gaze < float("inf"):
        raise ConfigError(f"open_film got fps={fps} and gaze={gaze}; it takes numbers above 0. Change them.")
    if path.is_dir():
        files = _files(path)
        height, width = _gray(files[0], None).shape
        return Film(width, height, len(files), path, fps, gaze)
    if path.suffix.lower() == ".npy":
        frames, height, width = _array(path).shape
        return Film(width, height, frames, path, fps, gaze)
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        raise DataError(
            f"{path} is no film; a folder of {', '.join(SUFFIXES)} files, an .npy file (N, H, W) or one such picture "
            "is taken. Check the path, or write the frames of a video as files."
        )
    height, width = (side - 2 * int(np.ceil(gaze)) for side in read_image(path, None, 1).shape[1:])
    if min(height, width) < 1:
        raise DataError(
            f"{path} leaves nothing within a border of {gaze:g} pixels; a larger picture is taken. Use another, or a "
            "smaller gaze."
        )
    return Film(width, height, len(saccades()[1]), path, fps, gaze)


def _files(folder: Path) -> list[Path]:
    found = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    if len(found) < 2:
        raise DataError(
            f"{folder} has {len(found)} pictures; a film has at least 2, as {', '.join(SUFFIXES)} files. Check the "
            "folder."
        )
    return found


def _gray(file: Path, size: tuple[int, int] | None) -> np.ndarray:
    picture = read_image(file, None, 1)[0].numpy()
    if size is not None and picture.shape != size:
        raise DataError(
            f"{file} has {picture.shape[1]} x {picture.shape[0]} pixels, and the first one {size[1]} x {size[0]}; "
            "frames of one size are taken. Resize them."
        )
    return picture


def _array(path: Path) -> np.ndarray:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); an .npy file of an array is taken. Write it with numpy.save."
        ) from error
    if found.ndim != 3 or len(found) < 2 or 0 in found.shape:
        raise DataError(
            f"{path} holds an array of shape {found.shape}; (N, H, W) with at least 2 frames is taken. Turn colours "
            "into gray."
        )
    return found
