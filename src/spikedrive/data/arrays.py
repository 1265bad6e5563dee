"""Images and labels in an .npz file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spikedrive.data.fit import Size, fit
from spikedrive.data.idx import Split
from spikedrive.data.images import ImageSet
from spikedrive.errors import DataError

_PAIRS = {
    ("x_train", "y_train"): "train",
    ("x_val", "y_val"): "val",
    ("x_test", "y_test"): "test",
    ("x", "y"): "train",
    ("images", "labels"): "train",
    ("train_images", "train_labels"): "train",
    ("val_images", "val_labels"): "val",
    ("test_images", "test_labels"): "test",
}


def open_npz(path: Path) -> Mapping[str, Split]:
    """The splits of an .npz file.

    Images are (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels: integers from 0 to 255,
    or floats from 0 to 1. Labels are N whole numbers from 0; `class_names` names them. Accepted names
    are x_train and y_train (x_val, x_test), x and y, images and labels, train_images and train_labels
    (val_images, test_images).

    Raises: DataError for a file that is damaged or holds other arrays.
    """
    names = _read(path, None)
    pairs = {split: pair for pair, split in reversed(_PAIRS.items()) if set(pair) <= set(names)}
    if not pairs:
        raise DataError(
            f"{path} holds {', '.join(names) or 'nothing'}; x_train, y_train, x_test, y_test, or x and y, or images "
            "and labels are accepted. Save it with these names."
        )
    if "class_names" in names:
        classes = tuple(str(name) for name in _read(path, "class_names"))
    else:
        # the training labels decide, so that a test split cannot bring in a class that was never trained
        labels = _labels(path, (pairs.get("train") or next(iter(pairs.values())))[1])
        classes = tuple(str(label) for label in range(int(labels.max(initial=-1)) + 1))
    return {
        split: partial(_load, path, *pairs[split], classes)
        for split in ("train", "val", "test")
        if split in pairs
    }


def _load(
    path: Path, x: str, y: str, names: tuple[str, ...], size: Size | None, channels: int | None
) -> ImageSet:
    images, labels = _images(path, x), _labels(path, y)
    if len(images) != len(labels):
        raise DataError(
            f"{path} holds {len(images)} {x} and {len(labels)} {y}; one label an image is accepted. Save both again."
        )
    if len(labels) and labels.max() >= len(names):
        raise DataError(
            f"{path} has label {labels.max()} in {y}, out of range for {len(names)} classes; 0 to {len(names) - 1} is "
            "accepted. Renumber the labels from 0, or name every class in class_names."
        )
    return ImageSet(fit(images, size, channels), torch.from_numpy(labels), names)


def _images(path: Path, name: str) -> Tensor:
    array = _read(path, name)
    shape = array.shape
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[1] not in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        raise DataError(
            f"{path} has {name} of shape {shape}; (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 "
            "or 3 channels is accepted. Reshape it."
        )
    return torch.from_numpy(np.ascontiguousarray(_bytes(path, name, array)))


def _bytes(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "iuf":
        raise DataError(
            f"{path} has {name} of dtype {array.dtype}; integers from 0 to 255 or floats from 0 to 1 are accepted. "
            "Convert it, best to uint8."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        where = np.argwhere(~np.isfinite(array))[0]
        raise DataError(
            f"{path} has NaN or infinity in {name}, first in image {where[0]}; finite floats from 0 to 1 are accepted. "
            "Find out where it came from and remove it."
        )
    top = 1 if array.dtype.kind == "f" else 255
    if array.size and not 0 <= array.min() <= array.max() <= top:
        raise DataError(
            f"{path} has {name} ({array.dtype}) from {array.min():g} to {array.max():g}; integers from 0 to 255 or "
            "floats from 0 to 1 are accepted. Undo the normalisation, best save uint8."
        )
    return (np.rint(array * 255.0) if array.dtype.kind == "f" else array).astype(np.uint8)


def _labels(path: Path, name: str) -> np.ndarray:
    array = _read(path, name)
    flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if flat.ndim != 1 or flat.dtype.kind not in "iu":
        raise DataError(
            f"{path} has {name} of shape {array.shape} and dtype {array.dtype}; N whole numbers are accepted. "
            "Take argmax of one-hot labels, and convert floats with astype('int64')."
        )
    if flat.size and flat.min() < 0:
        raise DataError(
            f"{path} has label {flat.min()} in {name}, out of range; labels run from 0. Renumber them."
        )
    return flat.astype(np.int64)


def _read(path: Path, name: str | None) -> np.ndarray:
    # arrays of objects would run code while loading, and stay refused
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return np.array(arrays.files) if name is None else arrays[name]
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:
        raise DataError(
            f"{path} is truncated or no .npz file of plain arrays ({error}). Save it again with numpy.savez_compressed."
        ) from error
