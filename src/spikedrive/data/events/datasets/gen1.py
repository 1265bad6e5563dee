"""Gen1 Automotive: drives of a minute, with boxes of cars and pedestrians."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import numpy as np

from spikedrive.data.events.datasets.clip_files import clip_of
from spikedrive.data.events.datasets.published import Layout
from spikedrive.data.events.events import Events
from spikedrive.data.events.formats import DatFile, open_dat
from spikedrive.errors import DataError

LAYOUT = Layout(
    title="Gen1 Automotive",
    page="https://www.prophesee.ai/2020/01/24/prophesee-gen1-automotive-detection-dataset/",
    tree="""
train/
  17-03-30_12-53-58_122500000_182499999_td.dat
  17-03-30_12-53-58_122500000_182499999_bbox.npy
  ...
val/
test/
""",
    splits=("train", "val", "test"),
)
CLASSES = ("car", "pedestrian")
WIDTH, HEIGHT = 304, 240
BOX = np.dtype(
    [
        ("t", "<i8"),
        ("x", "<f4"),
        ("y", "<f4"),
        ("w", "<f4"),
        ("h", "<f4"),
        ("class_id", "u1"),
        ("confidence", "<f4"),
        ("track_id", "<u4"),
    ]
)
"""Microseconds; the left upper corner, width and height in pixels; class and track."""
_OTHER_NAMES = {"ts": "t", "class_confidence": "confidence"}


@dataclass(frozen=True, eq=False)
class BoxedRecording:
    """A recording, of which parts are read when they are asked for, and the boxes of its objects.

    *Shapes*: boxes (M,) of `BOX`, in order of time.
    *Units*: microseconds of the recording's clock.
    """

    file: DatFile
    boxes: np.ndarray
    width: int
    height: int

    @property
    def times(self) -> np.ndarray:
        """When there are boxes, each time once.

        *Shapes*: (times,) int64.
        """
        return np.unique(self.boxes["t"])

    def boxes_at(self, time: int) -> np.ndarray:
        """The boxes of one time.

        *Shapes*: (m,) of `BOX`.
        """
        return self.boxes[self.boxes["t"] == time]

    def before(self, time: int, duration: int) -> Events:
        """The events of so many microseconds in front of a time, which count from the first of these."""
        start = time - duration
        array = self.file.between(start, time)
        return clip_of(array, self.width, self.height, self.file.path, start=start)


def load_gen1(root: str | PathLike[str], split: str = "train") -> tuple[BoxedRecording, ...]:
    """The recordings of one split, 304 x 240 pixels and 60 s each: 1,460, 429 and 470 of them.

    All published boxes are there; `usual_boxes` takes those that papers count.

    *Raises*: DataError for a split that it does not have, or a folder of another layout.
    *Source*: de Tournemire et al., arXiv:2001.08499.
    """
    LAYOUT.check_split(split)
    folder = LAYOUT.part(LAYOUT.root(root), split)
    found = []
    for path in LAYOUT.files(folder, "*_td.dat"):
        boxes = read_boxes(LAYOUT.part(folder, path.name.replace("_td.dat", "_bbox.npy")))
        file = open_dat(path)
        width, height = file.size or (WIDTH, HEIGHT)
        found.append(BoxedRecording(file, boxes, width, height))
    return tuple(found)


def read_boxes(path: str | PathLike[str]) -> np.ndarray:
    """The boxes of a .npy file in order of time; older files have ts and confidence, later t and class_confidence.

    *Shapes*: (M,) of `BOX`.
    *Raises*: DataError for a file that is damaged, or has other fields or classes.
    """
    try:
        table = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path} cannot be read as .npy: {error}. It is truncated or of another kind; copy it again."
        ) from error
    fields: tuple[str, ...] = table.dtype.names or ()
    names = {_OTHER_NAMES.get(name, name): name for name in fields}
    missing = [name for name in BOX.names or () if name not in names]
    if missing or table.ndim != 1:
        raise DataError(
            f"{path} has fields {', '.join(names) or 'none'} and shape {table.shape}; a structured array (M,) with "
            f"{', '.join(BOX.names or ())} is taken. Check that it is of Gen1."
        )
    boxes = np.empty(len(table), BOX)
    for name, there in names.items():
        if name in (BOX.names or ()):
            boxes[name] = table[there]
    return boxes[np.argsort(boxes["t"], kind="stable")]


def usual_boxes(
    boxes: np.ndarray,
    *,
    width: int = WIDTH,
    height: int = HEIGHT,
    skip: int = 500_000,
    least_diagonal: float = 30.0,
    least_side: float = 10.0,
) -> np.ndarray:
    """The boxes that papers train on and count: cut to the sensor, not of the start, and not too small.

    *Shapes*: boxes (M,) of `BOX` -> (m,) of it.
    *Units*: skip in microseconds of the recording's clock, diagonal and side in pixels.
    *Source*: the filter of the data set's toolbox with the limits of Perot et al., NeurIPS 2020.

    >>> usual_boxes(np.array([(600_000, 290, 0, 40, 40, 0, 1, 7), (600_000, 0, 0, 9, 90, 1, 1, 8)], BOX))["w"].tolist()
    [14.0]
    """
    cut = boxes.copy()
    for start, length, most in (("x", "w", width), ("y", "h", height)):
        low = boxes[start].clip(0, most)
        cut[length] = (boxes[start] + boxes[length]).clip(0, most) - low
        cut[start] = low
    sides = np.minimum(cut["w"], cut["h"])
    kept = (cut["t"] > skip) & (sides >= least_side) & (np.hypot(cut["w"], cut["h"]) >= least_diagonal)
    return cut[kept]
