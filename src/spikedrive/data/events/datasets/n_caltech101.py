"""N-Caltech101: the pictures of Caltech101 in front of a moving camera, with boxes and outlines."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from spikedrive.data.events.clips import EventSet
from spikedrive.data.events.datasets.clip_files import in_classes
from spikedrive.data.events.datasets.published import DATASETS, Layout, Published
from spikedrive.data.events.formats import read_atis
from spikedrive.errors import DataError

LAYOUT = Layout(
    title="N-Caltech101",
    page="https://www.garrickorchard.com/datasets/n-caltech101",
    tree="""
Caltech101/
  BACKGROUND_Google/ image_0001.bin ...
  accordion/         image_0001.bin ...
  ...
Caltech101_annotations/      (for the boxes)
  accordion/         annotation_0001.bin ...
""",
    splits=("train",),
)


@dataclass(frozen=True, eq=False)
class Annotation:
    """Where the object of a picture is.

    *Shapes*: box (4,) of left, top, right, bottom; outline (points, 2) of x, y.
    *Units*: pixels.
    """

    box: np.ndarray
    outline: np.ndarray


def load_n_caltech101(root: Path, split: str) -> EventSet:
    """8,709 clips of 101 classes, of which BACKGROUND_Google is one, on at most 240 x 180 pixels.

    It was not divided when it was published: the split is "train", which `EventSet.split` divides.

    *Source*: Orchard et al., Frontiers in Neuroscience 9 (2015) 437.
    """
    folders = _classes(root)
    return in_classes([(f.name, LAYOUT.files(f, "*.bin")) for f in folders], read_atis, 240, 180)


def annotation_files(root: str | PathLike[str]) -> tuple[Path | None, ...]:
    """For each clip of `load_n_caltech101` the file that says where its object is, None where there is none.

    *Raises*: DataError for a folder without annotations.
    """
    folder = LAYOUT.part(LAYOUT.root(root), "Caltech101_annotations")
    clips = [path for folder in _classes(LAYOUT.root(root)) for path in LAYOUT.files(folder, "*.bin")]
    places = [folder / clip.parent.name / clip.name.replace("image", "annotation", 1) for clip in clips]
    return tuple(place if place.is_file() else None for place in places)


def read_annotation(path: str | PathLike[str]) -> Annotation:
    """Two tables of 16-bit integers, each behind its number of rows and of columns, column by column.

    The first has the corners of the box, the second the points of the outline; rows are x and y.

    *Raises*: DataError for a file that ends early or has other tables.
    """
    values = np.frombuffer(Path(path).read_bytes()[: Path(path).stat().st_size // 2 * 2], "<i2")
    tables, place = [], 0
    for _ in range(2):
        rows, columns = (int(n) for n in values[place : place + 2]) if len(values) >= place + 2 else (0, 0)
        table = values[place + 2 : place + 2 + rows * columns]
        if rows != 2 or columns < 1 or len(table) != rows * columns:
            raise DataError(
                f"{path} has {len(values)} numbers, and a table of {rows} x {columns} among them; two tables of 2 "
                "rows, x and y, are taken. It is truncated or of another kind: copy it again."
            )
        tables.append(table.reshape(columns, rows))
        place += 2 + rows * columns
    corners, outline = tables
    return Annotation(np.concatenate([corners.min(0), corners.max(0)]), outline)


def _classes(root: Path) -> list[Path]:
    folder = LAYOUT.part(root, "Caltech101")
    return [path for path in LAYOUT.files(folder, "*") if path.is_dir()]


DATASETS.add("n_caltech101", Published(LAYOUT, load_n_caltech101))
