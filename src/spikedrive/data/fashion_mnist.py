"""Fashion-MNIST: the bundled part, and the whole of its Debian package.

Source: Xiao, Rasul, Vollgraf, arXiv:1708.07747; github.com/zalandoresearch/fashion-mnist, MIT (bundled/NOTICE).
"""

from __future__ import annotations

import lzma
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from spikedrive.data.fit import Size, fit
from spikedrive.data.idx import Split, open_idx
from spikedrive.data.images import ImageSet
from spikedrive.errors import DataError

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
BUNDLED = Path(__file__).parent / "bundled"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def open_mini() -> Mapping[str, Split]:
    """The bundled part: the first 1,000 training and 200 test images of each class, in file order."""
    return {split: partial(_load_mini, BUNDLED / f"fashion_mnist_{split}.npz") for split in ("train", "test")}


def open_full() -> Mapping[str, Split]:
    """All 60,000 and 10,000 images, as the Debian package dataset-fashion-mnist installs them.

    Raises: DataError where the package is not installed.
    """
    if not DEBIAN.is_dir():
        raise DataError(
            f"Fashion-MNIST is not at {DEBIAN}; the Debian package puts it there. Run apt-get install "
            "dataset-fashion-mnist, hand in a folder with its idx files, or take the bundled fashion_mnist_mini."
        )
    return open_idx(DEBIAN, CLASS_NAMES)


def _load_mini(path: Path, size: Size | None, channels: int | None) -> ImageSet:
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            images, labels = arrays["images"], arrays["labels"]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, lzma.LZMAError) as error:
        raise DataError(
            f"The bundled data at {path} is missing or damaged ({error}); an installation of spikedrive brings it. "
            "Install spikedrive again."
        ) from error
    pixels = fit(torch.from_numpy(images)[:, None], size, channels)
    return ImageSet(pixels, torch.from_numpy(labels).long(), CLASS_NAMES)
