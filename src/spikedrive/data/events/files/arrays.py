"""Events in NumPy's .npz: the columns t, x, y, p and the sensor's size, read without loading them whole."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np

from spikedrive.data.events.events import EVENT, Events
from spikedrive.data.events.files.opened import Opened, structured
from spikedrive.errors import DataError

_COLUMNS = ("t", "x", "y", "p")


def open_npz(path: Path, size: tuple[int, int] | None) -> Opened:
    """The arrays t, x, y, p, and `size` = (width, height) where the file has it."""
    try:
        with zipfile.ZipFile(path) as file:
            names = {name.removesuffix(".npy") for name in file.namelist()}
            missing = [name for name in _COLUMNS if name not in names]
            if missing:
                raise DataError(
                    f"{path} has no {', '.join(missing)} among {', '.join(sorted(names)) or 'no arrays'}; the arrays "
                    "t, x, y, p are taken. Save it with these names."
                )
            shapes = {name: _header(file, name)[0] for name in _COLUMNS}
            said = (
                tuple(int(n) for n in np.load(io.BytesIO(file.read("size.npy")))) if "size" in names else None
            )
    except (zipfile.BadZipFile, OSError, ValueError, EOFError) as error:
        if isinstance(error, DataError):
            raise
        raise _damaged(path, error) from error
    if len(set(shapes.values())) > 1 or len(shapes["t"]) != 1:
        raise DataError(
            f"{path} has arrays of shapes {shapes}; four of one length (N,) are taken. Save it again."
        )
    found = said or size
    if found is None:
        raise DataError(
            f"{path} does not say how large its sensor is; the size is needed. Give it, as in size=(640, 480)."
        )
    if size is not None and tuple(size) != tuple(found):
        raise DataError(
            f"{path} says that its sensor is {found[0]} x {found[1]}, and size={size} came; both are the same. Leave "
            "size out."
        )

    def pieces(most: int) -> Iterator[np.ndarray]:
        try:
            with zipfile.ZipFile(path) as file:
                columns = {name: _header(file, name) for name in _COLUMNS}
                for first in range(0, shapes["t"][0], most):
                    count = min(most, shapes["t"][0] - first)
                    yield structured(
                        {name: _read(stream, dtype, count) for name, (_, dtype, stream) in columns.items()}
                    )
        except (zipfile.BadZipFile, OSError, ValueError, EOFError) as error:
            if isinstance(error, DataError):
                raise
            raise _damaged(path, error) from error

    return Opened(int(found[0]), int(found[1]), pieces)


def write_npz(path: Path, events: Iterator[Events], width: int, height: int) -> None:
    """Compressed columns; they are laid aside one by one, as a .npz holds them after each other."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        aside = {name: Path(folder, name) for name in _COLUMNS}
        count = 0
        with ExitStack() as stack:
            files = {name: stack.enter_context(place.open("wb")) for name, place in aside.items()}
            for part in events:
                count += len(part)
                for name, file in files.items():
                    file.write(part.array[name].tobytes())
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            with archive.open("size.npy", "w") as target:
                np.lib.format.write_array(target, np.array([width, height]))
            for name, source in aside.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as target, source.open("rb") as data:
                    header = {"descr": EVENT[name].str, "fortran_order": False, "shape": (count,)}
                    np.lib.format.write_array_header_1_0(target, header)
                    shutil.copyfileobj(data, target)


def _header(file: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype, IO[bytes]]:
    stream = file.open(f"{name}.npy")
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype, stream


def _read(stream: IO[bytes], dtype: np.dtype, count: int) -> np.ndarray:
    data = stream.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise EOFError(f"{len(data)} bytes where {count * dtype.itemsize} should be")
    return np.frombuffer(data, dtype)


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be read as .npz: {error}. It is truncated or of another kind; write it again."
    )
