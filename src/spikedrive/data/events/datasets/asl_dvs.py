"""ASL-DVS: 24 letters of American sign language, shown by a hand."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from spikedrive.data.events.clips import EventSet
from spikedrive.data.events.datasets.clip_files import in_classes
from spikedrive.data.events.datasets.published import DATASETS, Layout, Published
from spikedrive.data.events.files.opened import structured
from spikedrive.errors import DataError, MissingExtraError

LAYOUT = Layout(
    title="ASL-DVS",
    page="https://github.com/PIX2NVS/NVS2Graph (ICCV2019_DVS_dataset.zip, with an archive for each person in it)",
    tree="""
a/ a_0001.mat ...
b/
...        (without j and z, which are movements)
y/
""",
    splits=("train",),
)
LETTERS = tuple("abcdefghiklmnopqrstuvwxy")
WIDTH, HEIGHT = 240, 180


def load_asl_dvs(root: Path, split: str) -> EventSet:
    """100,800 clips of about 100 ms, 4,200 a letter, on 240 x 180 pixels; needs scipy.

    It was not divided when it was published: the split is "train", which `EventSet.split` divides.

    *Source*: Bi et al., ICCV 2019.
    """
    return in_classes(
        [(letter, LAYOUT.files(LAYOUT.part(root, letter), "*.mat")) for letter in LETTERS],
        read_asl,
        WIDTH,
        HEIGHT,
    )


def read_asl(path: Path) -> np.ndarray:
    """The columns ts, x, y and pol of a MATLAB file; rows are counted from below there, and from above here.

    *Raises*: DataError for another kind of file; MissingExtraError without scipy.
    """
    table = _loadmat(path)
    names = ("ts", "x", "y", "pol")
    missing = [name for name in names if name not in table]
    if missing:
        found = ", ".join(name for name in table if not name.startswith("__"))
        raise DataError(
            f"{path} has no {', '.join(missing)} beside {found or 'nothing'}; the columns ts, x, y and pol are taken. "
            "Check that it is of ASL-DVS."
        )
    t, x, y, p = (np.asarray(table[name]).reshape(-1) for name in names)
    if len({len(t), len(x), len(y), len(p)}) > 1:
        raise DataError(
            f"{path} has columns of {len(t)}, {len(x)}, {len(y)} and {len(p)} numbers; all have one length. "
            "Copy it again."
        )
    # MATLAB keeps small numbers in one byte, which has no room for the difference
    row = y.astype(np.float64) if y.dtype.kind == "f" else y.astype(np.int64)
    return structured({"t": t, "x": x, "y": HEIGHT - 1 - row, "p": p})


def _loadmat(path: Path) -> dict[str, Any]:
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise MissingExtraError(
            "The files of ASL-DVS need the library scipy, which is not installed; those of other data sets do not. "
            "Install it: pip install 'spikedrive[events]'."
        ) from error
    try:
        return loadmat(path)
    except (MatReadError, OSError, ValueError, TypeError, NotImplementedError, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read as a MATLAB file: {error}. It is truncated or of another kind; copy it again."
        ) from error


DATASETS.add("asl_dvs", Published(LAYOUT, load_asl_dvs))
