"""Recordings of event cameras: files of several formats, read and written in pieces of constant memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from spikedrive.data.events.events import Events, Repairs, check_events
from spikedrive.data.events.files import arrays, camera_files, hdf5
from spikedrive.data.events.files.opened import Opened
from spikedrive.errors import DataError
from spikedrive.files import atomic_write

PIECE = 1 << 18
"""Events of a piece, unless told otherwise: some 3 MB."""


@dataclass(frozen=True)
class Format:
    """How files of one suffix are read and written."""

    open: Callable[[Path, tuple[int, int] | None], Opened]
    write: Callable[[Path, Iterator[Events], int, int], None]


FORMATS: dict[str, Format] = {
    ".aedat4": Format(camera_files.open_camera_file, camera_files.write_aedat4),
    ".raw": Format(camera_files.open_camera_file, camera_files.write_raw),
    ".dat": Format(camera_files.open_camera_file, camera_files.write_dat),
    ".es": Format(camera_files.open_camera_file, camera_files.write_es),
    ".csv": Format(camera_files.open_camera_file, camera_files.write_csv),
    ".h5": Format(hdf5.open_hdf5, hdf5.write_hdf5),
    ".hdf5": Format(hdf5.open_hdf5, hdf5.write_hdf5),
    ".npz": Format(arrays.open_npz, arrays.write_npz),
}
"""By suffix."""


class Recording:
    """A file of events: iterate over its pieces, or `read` it whole.

    Each iteration starts at the beginning and never holds more than some pieces. With `repair` events outside the
    sensor or going back in time are dropped, and `repairs` counts them while the file is read; without, the first one
    is an error.

    *Units*: `width` and `height` in pixels.
    """

    def __init__(self, path: Path, opened: Opened, *, repair: bool, piece: int) -> None:
        self.path, self.width, self.height = path, opened.width, opened.height
        self.repairs: Repairs | None = Repairs() if repair else None
        self._opened, self._piece = opened, piece

    def __iter__(self) -> Iterator[Events]:
        if self.repairs is not None:
            self.repairs = Repairs()
        # without repair times are compared over the borders of pieces too
        reached: Events | None = None
        for array in self._opened.pieces(self._piece):
            part = check_events(array, width=self.width, height=self.height, repairs=self.repairs)
            if reached is not None and len(part) and part.array["t"][0] < reached.array["t"][-1]:
                raise DataError(
                    f"{self.path} goes back in time, from {reached.array['t'][-1]} to {part.array['t'][0]}; events are "
                    "taken in order of time. Open it with repair=True, which drops and counts such events."
                )
            if len(part):
                reached = part
                yield from part.pieces(self._piece)

    def read(self) -> Events:
        """All events at once.

        *Raises*: DataError as iteration.
        """
        empty = Events.of([], [], [], [], width=self.width, height=self.height)
        return Events.joined([empty, *self])


def open_recording(
    path: str | PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    repair: bool = False,
    piece: int = PIECE,
) -> Recording:
    """Open a recording by its suffix: one of `FORMATS`.

    `size` is (width, height) for files that do not say it (CSV, some .raw and .dat); for the others it is left out, or
    the same. CSV has a header and the columns t, x, y, p.

    *Raises*: DataError for a file that is missing, of another kind, damaged or without a size; MissingExtraError
    without the libraries of `spikedrive[events]`.
    """
    path = Path(path)
    chosen = _format(path)
    if not path.is_file():
        raise DataError(f"There is no recording at {path}; a file is taken. Check the path.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; a recording has at least a header. Copy it again.")
    return Recording(path, chosen.open(path, size), repair=repair, piece=piece)


def write_recording(path: str | PathLike[str], events: Events | Recording | Iterable[Events]) -> int:
    """Write events in the format of the suffix, piece by piece; gives how many. What was there before stays on failure.

    *Raises*: DataError for a suffix that is none of `FORMATS`, or no piece at all; MissingExtraError; StorageError.
    """
    path = Path(path)
    chosen, parts = _format(path), iter([events] if isinstance(events, Events) else events)
    first = next(parts, None)
    if first is None:
        if not isinstance(events, Recording):
            raise DataError(
                f"write_recording got no piece for {path}; at least one says the sensor's size. Pass Events.of([], [], "
                "[], [], width=..., height=...) for a recording without events."
            )
        first = Events.of([], [], [], [], width=events.width, height=events.height)
    written = 0

    def counted() -> Iterator[Events]:
        nonlocal written
        for part in itertools.chain([first], parts):
            written += len(part)
            yield part

    with atomic_write(path) as temporary:
        chosen.write(temporary, counted(), first.width, first.height)
    return written


def _format(path: Path) -> Format:
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise DataError(
            f"{path} ends in {path.suffix or 'nothing'}; recordings end in {', '.join(FORMATS)}. Rename or convert it."
        )
    return found
