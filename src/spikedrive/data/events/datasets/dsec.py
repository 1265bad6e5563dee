"""DSEC: drives with two event cameras, and the optical flow of the left one."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikedrive.data.events.datasets.clip_files import clip_of
from spikedrive.data.events.datasets.published import Layout
from spikedrive.data.events.events import Events
from spikedrive.data.events.files.opened import structured
from spikedrive.data.events.formats import read_png16
from spikedrive.errors import DataError, MissingExtraError

LAYOUT = Layout(
    title="DSEC",
    page="https://dsec.ifi.uzh.ch/dsec-datasets/download/ (train_events.zip and train_optical_flow.zip)",
    tree="""
train_events/                (or train/, with both in it)
  zurich_city_01_a/events/left/ events.h5 rectify_map.h5
train_optical_flow/
  zurich_city_01_a/flow/ forward_timestamps.txt
  zurich_city_01_a/flow/forward/ 000002.png ...
""",
    splits=("train",),
)
WIDTH, HEIGHT = 640, 480
_ZERO, _UNIT = 1 << 15, 128


@dataclass(frozen=True, eq=False)
class FlowSample:
    """Events between two times, and how far each place moved meanwhile.

    *Shapes*: flow (2, H, W) float32, x first, 0 where it is not known; valid (H, W) bool.
    *Units*: flow in pixels from the first time to the second; times of events count from the first.
    """

    events: Events
    flow: Tensor
    valid: Tensor


@dataclass(frozen=True, eq=False)
class FlowSequence:
    """One drive: `sequence[i]` reads the events between the i-th two times, and their flow.

    *Shapes*: times (samples, 2) int64.
    *Units*: microseconds of the clock of the pictures.
    """

    name: str
    events_file: Path
    rectify_file: Path | None
    times: np.ndarray
    flow_files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.flow_files)

    def __getitem__(self, index: int, /) -> FlowSample:
        start, end = (int(time) for time in self.times[index])
        flow, valid = read_flow(self.flow_files[index])
        return FlowSample(self.events_between(start, end), flow, valid)

    def events_between(self, start: int, end: int) -> Events:
        """The events with start <= t < end, which count from `start`; only these are read.

        *Raises*: MissingExtraError without h5py, or hdf5plugin where the file is compressed by Blosc; DataError.
        """
        array = _read_h5(self.events_file, start, end)
        if self.rectify_file is not None:
            array = _rectified(array, self.rectify_file)
        return clip_of(array, WIDTH, HEIGHT, self.events_file, start=start)


def load_dsec(
    root: str | PathLike[str], split: str = "train", *, rectify: bool = True
) -> tuple[FlowSequence, ...]:
    """The drives of which the flow was published, 640 x 480 pixels, in order of their names.

    Flow is that of the rectified picture. With `rectify` events are put there too, onto the nearest pixel; those that
    are outside of it are left out.

    *Raises*: DataError for a split that it does not have, or a folder of another layout.
    *Source*: Gehrig et al., RA-L 2021 and 3DV 2021; the format as its page describes it.
    """
    LAYOUT.check_split(split)
    top = LAYOUT.root(root)
    flows, events = LAYOUT.part(top, "train_optical_flow", "train"), LAYOUT.part(top, "train_events", "train")
    found = []
    for folder in sorted(path for path in flows.iterdir() if (path / "flow").is_dir()):
        left = LAYOUT.part(events, f"{folder.name}/events/left", f"{folder.name}/events_left")
        files = LAYOUT.files(LAYOUT.part(folder, "flow/forward"), "*.png")
        times = read_times(LAYOUT.part(folder, "flow/forward_timestamps.txt"))
        if len(times) != len(files):
            raise DataError(
                f"{folder} has {len(files)} pictures of flow and {len(times)} lines of times; there is one line a "
                "picture. Copy both again."
            )
        rectifier = LAYOUT.part(left, "rectify_map.h5") if rectify else None
        found.append(
            FlowSequence(folder.name, LAYOUT.part(left, "events.h5"), rectifier, times, tuple(files))
        )
    if not found:
        raise LAYOUT.missing(f"{flows} has no folder with flow/ in it")
    return tuple(found)


def read_flow(path: str | PathLike[str]) -> tuple[Tensor, Tensor]:
    """A map of flow, and where it is known: (v - 2^15) / 128 of the first two channels, the third says where.

    *Shapes*: (2, H, W) float32, (H, W) bool.
    *Raises*: DataError for another kind of picture.
    """
    picture = torch.from_numpy(read_png16(Path(path)).astype(np.int32)).permute(2, 0, 1)
    valid = picture[2] == 1
    return torch.where(valid, (picture[:2] - _ZERO).float() / _UNIT, 0.0), valid


def read_times(path: str | PathLike[str]) -> np.ndarray:
    """From and to of each map of flow, of lines of two numbers behind a first one that names them.

    *Shapes*: (maps, 2) int64.
    *Units*: microseconds.
    *Raises*: DataError for other lines, or a time that does not come after the other.
    """
    rows = []
    for number, line in enumerate(Path(path).read_text().splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split(",")]
        if (
            len(fields) != 2
            or not all(field.isdecimal() for field in fields)
            or int(fields[0]) >= int(fields[1])
        ):
            raise DataError(
                f"Line {number} of {path} is {line.strip()!r}; two times in microseconds, the second later, are taken. "
                "Copy it again."
            )
        rows.append([int(field) for field in fields])
    return np.array(rows, np.int64).reshape(-1, 2)


def _rectified(array: np.ndarray, path: Path) -> np.ndarray:
    with _open(path) as file:
        table = file["rectify_map"][()]
    if table.shape != (HEIGHT, WIDTH, 2):
        raise DataError(
            f"{path} has a map of shape {table.shape}; ({HEIGHT}, {WIDTH}, 2) is taken. Copy it again."
        )
    x, y = np.rint(table[array["y"], array["x"]]).astype(np.int64).T
    inside = (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)
    return structured({"t": array["t"], "x": x, "y": y, "p": array["p"]})[inside]


def _read_h5(path: Path, start: int, end: int) -> np.ndarray:
    with _open(path) as file:
        missing = [name for name in ("events", "ms_to_idx", "t_offset") if name not in file]
        if missing:
            raise DataError(
                f"{path} has no {', '.join(missing)} beside {', '.join(file) or 'nothing'}; events, ms_to_idx and "
                "t_offset are taken. Check that it is of DSEC."
            )
        offset, by_ms = int(file["t_offset"][()]), file["ms_to_idx"]
        columns = {name: file["events"][name] for name in ("t", "x", "y", "p")}
        for column in columns.values():
            _check_filters(path, column)
        # the index says where each millisecond begins
        from_ms, to_ms = max(start - offset, 0) // 1000, -(-max(end - offset, 0) // 1000)
        total = len(columns["t"])
        first = int(by_ms[from_ms]) if from_ms < len(by_ms) else total
        last = int(by_ms[to_ms]) if to_ms < len(by_ms) else total
        found = {name: column[first:last] for name, column in columns.items()}
    found["t"] = found["t"].astype(np.int64) + offset
    array = structured(found)
    return array[(array["t"] >= start) & (array["t"] < end)]


def _open(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError(
            "The files of DSEC need the library h5py, which is not installed. Install it: "
            "pip install 'spikedrive[events]' hdf5plugin."
        ) from error
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(
            f"{path} cannot be read as HDF5: {error}. It is truncated or of another kind; copy it again."
        ) from error


def _check_filters(path: Path, column: Any) -> None:
    """The published files are compressed by Blosc, which h5py reads with hdf5plugin alone."""
    import importlib

    import h5py

    plist = column.id.get_create_plist()
    codes = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if all(h5py.h5z.filter_avail(code) for code in codes):
        return
    try:
        importlib.import_module("hdf5plugin")
    except ImportError as error:
        raise MissingExtraError(
            f"{path} is compressed by a filter that h5py does not have (of {codes}); the library hdf5plugin has "
            "Blosc's. Install it: pip install hdf5plugin."
        ) from error
