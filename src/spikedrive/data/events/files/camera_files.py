"""The formats of cameras' makers and CSV, through faery: AEDAT4, EVT2, EVT2.1 and EVT3, DAT, Event Stream.

faery leaves a record at the end of a file out that was cut in two; such a file is refused here where its records have
one size (.raw, .dat). An .es file has records of several sizes and no count: that its last event was cut is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spikedrive.data.events.events import Events
from spikedrive.data.events.files.opened import Opened
from spikedrive.errors import DataError, MissingExtraError

_HEADER = 1 << 16
_LARGEST = 65_535
_DAT_CHANGES = bytes([0x0C, 8])
"""Behind the header of a .dat file: change detections, of 8 bytes each."""
_FIELDS = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])
_SUFFIXES = {"aedat": ".aedat4", "evt": ".raw"}
"""Of faery's kinds of files, where they are not its own name."""
_WORDS = {"2": 4, "2.1": 8, "21": 8, "3": 2}
"""Bytes of a word of each version of EVT; a file that names none is read as the last."""


def _faery() -> Any:
    try:
        import faery
    except ImportError as error:
        raise MissingExtraError(
            "Recordings of cameras need the library faery, which is not installed; the formats .npz and .h5 do not. "
            "Install it: pip install 'spikedrive[events]'."
        ) from error
    return faery


def open_camera_file(path: Path, size: tuple[int, int] | None) -> Opened:
    """A file of one of faery's formats; the size is the header's where it has one."""
    faery, suffix = _faery(), path.suffix.lower()
    if suffix in (".raw", ".dat"):
        _check_records(path)
    if suffix == ".csv":
        _check_head(path)
    if size is None and suffix in (".raw", ".dat", ".csv") and not _says_size(path):
        raise DataError(
            f"{path} does not say how large its sensor is; the size is needed. Give it, as in size=(640, 480)."
        )
    # faery knows no size of a CSV; what is outside is refused, or counted, later
    options = {"dimensions_fallback": (_LARGEST, _LARGEST)}
    try:
        width, height = faery.events_stream_from_file(path, **options).dimensions()
    except (RuntimeError, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if (width, height) == (_LARGEST, _LARGEST):
        width, height = (_said_size(path) if suffix == ".csv" else None) or size or (width, height)
    if size is not None and (width, height) != tuple(size):
        raise DataError(
            f"{path} says that its sensor is {width} x {height}, and size={size} came; both are the same. Leave "
            "size out."
        )

    def pieces(_most: int) -> Iterator[np.ndarray]:
        try:
            for packet in faery.events_stream_from_file(path, **options):
                yield packet.view(_FIELDS)
        except (RuntimeError, OSError, ValueError) as error:
            raise _damaged(path, error) from error

    return Opened(width, height, pieces)


def write_aedat4(path: Path, events: Iterator[Events], width: int, height: int) -> None:
    """AEDAT4, one track of events."""
    _write("aedat", path, events, (width, height))


def write_raw(path: Path, events: Iterator[Events], width: int, height: int) -> None:
    """EVT3; times from the first event on, which the header names in microseconds.

    *Raises*: DataError for a pause of 16 s, over which EVT3 loses count.
    """
    _write("evt", path, _without_pauses(".raw", events, 1 << 24), (width, height))


def write_dat(path: Path, events: Iterator[Events], width: int, height: int) -> None:
    """DAT of version 2, change detections; times as in `write_raw`.

    *Raises*: DataError for more than 71 minutes, which 32 bits of microseconds do not hold.
    """
    _write("dat", path, _within(".dat", events, 1 << 32), (width, height))
    # faery ends a file without events before these
    if path.stat().st_size == len(_header(path)[0]):
        with path.open("ab") as file:
            file.write(_DAT_CHANGES)


def write_es(path: Path, events: Iterator[Events], width: int, height: int) -> None:
    """Event Stream, change detections. It has no start, but a byte for each 127 us without events.

    *Raises*: DataError for a pause, or a first time, of 71 minutes, which would be megabytes of nothing.
    """
    _write("es", path, _without_pauses(".es", events, 1 << 32, first=0), (width, height))


def write_csv(path: Path, events: Iterator[Events], width: int, height: int) -> None:
    """A header that says the size, and t, x, y, p in each line."""
    _write("csv", path, events, (width, height))


def _write(kind: str, path: Path, events: Iterator[Events], size: tuple[int, int]) -> None:
    packets = (_packet(part) for part in _from_zero(_SUFFIXES.get(kind, f".{kind}"), events))
    # an .es file has nowhere to keep the time that was taken away
    _faery().file_encoder.events_to_file(
        packets, path, size, file_type=kind, zero_t0=kind != "es", use_write_suffix=False
    )


def _packet(events: Events) -> np.ndarray:
    packet = np.empty(len(events), _FIELDS)
    for name in ("t", "x", "y", "p"):
        packet[name] = events.array[name]
    return packet.view(_faery().EVENTS_DTYPE)


def _from_zero(suffix: str, events: Iterator[Events]) -> Iterator[Events]:
    for part in events:
        # events are in order: the first is the earliest
        if len(part) and part.array["t"][0] < 0:
            raise DataError(
                f"The recording starts at {int(part.array['t'][0])} us; {suffix} takes times "
                "from 0 on. Shift the times, or take .h5 or .npz."
            )
        yield part


def _without_pauses(
    suffix: str, events: Iterator[Events], most: int, first: int | None = None
) -> Iterator[Events]:
    last = first
    for part in events:
        if len(part):
            times = part.array["t"] if last is None else np.append(last, part.array["t"])
            pauses = np.diff(times)
            if len(pauses) and pauses.max() >= most:
                start = int(times[pauses.argmax()])
                raise DataError(
                    f"The recording has a pause of {int(pauses.max())} us behind {start} us; {suffix} takes less than "
                    f"{most}. Write the parts apart, shift their times, or take .aedat4, .h5 or .npz."
                )
            last = int(times[-1])
        yield part


def _within(suffix: str, events: Iterator[Events], most: int) -> Iterator[Events]:
    first: int | None = None
    for part in events:
        if len(part):
            first = int(part.array["t"][0]) if first is None else first
            if part.array["t"][-1] - first >= most:
                raise DataError(
                    f"The recording lasts {int(part.array['t'][-1]) - first} us; {suffix} takes less than {most}. "
                    "Write the parts apart, or take .aedat4, .h5 or .npz."
                )
        yield part


def _header(path: Path) -> tuple[bytes, str]:
    """The lines that begin with %, as bytes and as text."""
    with path.open("rb") as file:
        start = file.read(_HEADER)
    lines = re.match(rb"(?:%[^\n]*\n)*", start)
    found = lines.group(0) if lines else b""
    return found, found.decode("latin-1")


def _says_size(path: Path) -> bool:
    if path.suffix.lower() == ".csv":
        return _said_size(path) is not None
    return bool(re.search(r"geometry|width", _header(path)[1].lower()))


def _said_size(path: Path) -> tuple[int, int] | None:
    """Of a CSV's header: t,x@640,y@480,p."""
    sizes = [name.partition("@")[2] for name in _csv_names(path)[1:3]]
    return (int(sizes[0]), int(sizes[1])) if all(size.isdecimal() for size in sizes) else None


def _check_records(path: Path) -> None:
    header, text = _header(path)
    if not header:
        raise DataError(
            f"{path} does not begin with lines of % as a {path.suffix} file does; it is of another kind. Check it."
        )
    extra, size = (len(_DAT_CHANGES), 8) if path.suffix.lower() == ".dat" else (0, _word(text))
    left = (path.stat().st_size - len(header) - extra) % size
    if left:
        raise DataError(
            f"{path} ends in the middle of a record of {size} bytes ({left} are there); it is truncated. Copy it "
            "again, or cut these bytes off where the rest is wanted."
        )


def _word(text: str) -> int:
    version = re.search(r"evt\s?(2\.1|21|2|3)", text.lower())
    return _WORDS[version.group(1)] if version else _WORDS["3"]


def _check_head(path: Path) -> None:
    names = _csv_names(path)
    if [name.partition("@")[0] for name in names[:3]] != ["t", "x", "y"] or len(names) != 4:
        raise DataError(
            f"{path} begins with {','.join(names)[:80]!r}; a header t,x,y,p is taken, or t,x@640,y@480,p, which says "
            "the size. Write one as its first line."
        )


def _csv_names(path: Path) -> list[str]:
    with path.open("rb") as file:
        return file.readline(_HEADER).decode("latin-1").strip().lower().split(",")


def _damaged(path: Path, error: Exception) -> DataError:
    what = " ".join(str(error).split())
    return DataError(
        f"{path} cannot be read as {path.suffix[1:]}: {what}. Check the file, or give the size of its sensor."
    )
