"""CIFAR10-DVS: 10,000 pictures of CIFAR-10 that move on a screen."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from spikedrive.data.events.clips import EventSet
from spikedrive.data.events.datasets.clip_files import in_classes
from spikedrive.data.events.datasets.published import DATASETS, Layout, Published
from spikedrive.data.events.formats import read_aedat2
from spikedrive.errors import DataError

LAYOUT = Layout(
    title="CIFAR10-DVS",
    page="https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671",
    tree="""
airplane/ cifar10_airplane_0.aedat ... cifar10_airplane_999.aedat
automobile/
...
truck/
""",
    splits=("train", "test"),
)
CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_TESTED = 100


def load_cifar10_dvs(root: Path, split: str) -> EventSet:
    """9,000 or 1,000 clips of 128 x 128 pixels.

    It was not divided when it was published. "test" are the clips 0 to 99 of each class, the division of TEBN
    (NeurIPS 2022) that most later work has; a random one gives other figures. The camera stood on its side, so the two
    coordinates are exchanged, as all published loaders have it.

    *Source*: Li et al., Frontiers in Neuroscience 11 (2017) 309.
    """
    chosen = []
    for name in CLASSES:
        files = sorted((_number(p), p) for p in LAYOUT.files(LAYOUT.part(root, name), "*.aedat"))
        chosen.append((name, [p for n, p in files if (n < _TESTED) == (split == "test")]))
    return in_classes(chosen, _read, 128, 128)


def _read(path: Path) -> np.ndarray:
    array = read_aedat2(path)
    array["x"], array["y"] = array["y"].copy(), array["x"].copy()
    return array


def _number(path: Path) -> int:
    found = re.search(r"_(\d+)$", path.stem)
    if found is None:
        raise DataError(
            f"{path} has no number at its end; CIFAR10-DVS names its files as in cifar10_cat_17.aedat. Rename or "
            "remove it."
        )
    return int(found.group(1))


DATASETS.add("cifar10_dvs", Published(LAYOUT, load_cifar10_dvs))
