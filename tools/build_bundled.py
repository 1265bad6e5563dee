"""Build the bundled part of Fashion-MNIST from its idx files; the same input gives the same bytes.

python tools/build_bundled.py --source /usr/share/datasets/fashion-mnist
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import numpy as np

from spikedrive.data.fashion_mnist import BUNDLED, DEBIAN
from spikedrive.data.idx import find_idx, read_idx
from spikedrive.files import atomic_write

PER_CLASS = {"train": 1000, "test": 200}


def first_of_each_class(images: np.ndarray, labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` images of each class and their labels, in file order."""
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]))
    return images[chosen], labels[chosen]


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """An .npz of arrays, LZMA-compressed; its dates are fixed so that the bytes depend on the arrays alone."""
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_LZMA
            with archive.open(entry, "w") as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array))


def choose(source: Path) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of each file to write."""
    chosen = {}
    for split, (images, labels) in find_idx(source).items():
        pixels, classes = first_of_each_class(read_idx(images), read_idx(labels), PER_CLASS[split])
        chosen[f"fashion_mnist_{split}.npz"] = {"images": pixels, "labels": classes}
    return chosen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source", type=Path, default=DEBIAN, help="folder with the idx files of Fashion-MNIST"
    )
    parser.add_argument("--output", type=Path, default=BUNDLED, help="folder to write to")
    arguments = parser.parse_args()
    for name, arrays in choose(arguments.source).items():
        write_npz(arguments.output / name, **arrays)
        print(f"{arguments.output / name}  {(arguments.output / name).stat().st_size / 1e6:.2f} MB")
