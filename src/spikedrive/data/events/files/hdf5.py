"""Events in HDF5: the group `events` with t, x, y, p, as DSEC and MVSEC-like files have it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spikedrive.data.events.events import EVENT, Events
from spikedrive.data.events.files.opened import Opened, structured
from spikedrive.errors import DataError, MissingExtraError

_BLOCK = 1 << 16


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError(
            "HDF5 files need the library h5py, which is not installed; the format .npz does not. Install it: "
            "pip install 'spikedrive[events]'."
        ) from error
    return h5py


def open_hdf5(path: Path, size: tuple[int, int] | None) -> Opened:
    """The columns in the group `events`, t, x, y, p; `t_offset` is added to t where the file has one (DSEC).

    The size is in the attributes width and height of the group or the file.
    """
    h5py = _h5py()
    try:
        with h5py.File(path, "r") as file:
            group = file.get("events", file)
            missing = [name for name in ("t", "x", "y", "p") if name not in group]
            if missing:
                raise DataError(
                    f"{path} has no {', '.join(missing)} beside {', '.join(group) or 'nothing'}; the columns t, x, y, "
                    "p are taken, alone or in the group events. Rename them."
                )
            lengths = {name: len(group[name]) for name in ("t", "x", "y", "p")}
            if len(set(lengths.values())) > 1:
                raise DataError(
                    f"{path} has columns of several lengths ({lengths}); all have one. It was not written to its end: "
                    "write it again."
                )
            said = [(at.attrs.get("width"), at.attrs.get("height")) for at in (group, file)]
            offset = int(file["t_offset"][()]) if "t_offset" in file else 0
    except OSError as error:
        raise DataError(
            f"{path} cannot be read as HDF5: {error}. It is truncated or of another kind; copy it again."
        ) from error
    found = next(((int(w), int(h)) for w, h in said if w is not None and h is not None), size)
    if found is None:
        raise DataError(
            f"{path} does not say how large its sensor is; the size is needed. Give it, as in size=(640, 480)."
        )
    if size is not None and tuple(size) != found:
        raise DataError(
            f"{path} says that its sensor is {found[0]} x {found[1]}, and size={size} came; both are the same. Leave "
            "size out."
        )

    def pieces(most: int) -> Iterator[np.ndarray]:
        with h5py.File(path, "r") as file:
            group = file.get("events", file)
            for first in range(0, len(group["t"]), most):
                part = slice(first, first + most)
                columns = {name: group[name][part] for name in ("t", "x", "y", "p")}
                columns["t"] = columns["t"] + offset
                yield structured(columns)

    return Opened(*found, pieces)


def write_hdf5(path: Path, events: Iterator[Events], width: int, height: int) -> None:
    """The group `events`, in compressed blocks."""
    with _h5py().File(path, "w") as file:
        group = file.create_group("events")
        group.attrs["width"], group.attrs["height"] = width, height
        columns = {
            name: group.create_dataset(
                name,
                (0,),
                maxshape=(None,),
                dtype=EVENT[name],
                chunks=(_BLOCK,),
                compression="gzip",
                shuffle=True,
            )
            for name in ("t", "x", "y", "p")
        }
        for part in events:
            for name, column in columns.items():
                column.resize(len(column) + len(part), 0)
                column[len(column) - len(part) :] = part.array[name]
