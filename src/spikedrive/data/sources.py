"""One function for every place where labelled images come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from spikedrive.data import fashion_mnist
from spikedrive.data.arrays import open_npz
from spikedrive.data.folders import open_folder
from spikedrive.data.idx import Split, find_idx, open_idx
from spikedrive.data.images import ImageSet
from spikedrive.data.size import Size, check_channels, height_width
from spikedrive.errors import DataError
from spikedrive.registry import Registry

SOURCES: Registry[Callable[[], Mapping[str, Split]]] = Registry("image source")
SOURCES.add("fashion_mnist_mini", fashion_mnist.open_mini)
SOURCES.add("fashion_mnist", fashion_mnist.open_full)


def load_images(
    source: str | os.PathLike[str],
    split: str = "train",
    *,
    size: Size | None = None,
    channels: int | None = None,
) -> ImageSet:
    """The labelled images of one split of `source`.

    `source` is a name (`fashion_mnist_mini`, bundled; `fashion_mnist`, its Debian package), a folder
    of idx files (gzipped or not; `folder/emnist-balanced` picks one of several), an `.npz` file
    (x_train, y_train, x_test, y_test; or x, y; more in arrays.open_npz), or a tree
    of PNG and JPEG files with one folder a class, under train/, val/ and test/ or directly.
    A source that is not divided has the split "train" alone.

    `size` (pixels, or (H, W)) scales the short side and cuts out the centre; `channels` is 1 or 3.
    Left out, the images are taken as they are.

    Raises: DataError for a source, split or file that cannot be read as such.

    >>> images = load_images("fashion_mnist_mini", "test")
    >>> len(images), images.shape, images.class_names[:2]
    (2000, (1, 28, 28), ('T-shirt/top', 'Trouser'))
    """
    check_channels(channels)
    if size is not None:
        height_width(size)
    splits = _open(source)
    if split not in splits:
        raise DataError(
            f"{os.fspath(source)} has no split {split!r}; it has {', '.join(splits)}. "
            "Ask for one of these, or divide one with ImageSet.split."
        )
    return splits[split](size, channels)


def list_splits(source: str | os.PathLike[str]) -> tuple[str, ...]:
    """The splits that `load_images` can read from `source`.

    >>> list_splits("fashion_mnist_mini")
    ('train', 'test')
    """
    return tuple(_open(source))


def _open(source: str | os.PathLike[str]) -> Mapping[str, Split]:
    name = os.fspath(source)
    if isinstance(source, str) and name in SOURCES:
        return SOURCES[name]()
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".npz":
        return open_npz(path)
    if path.is_dir():
        return open_idx(path) or open_folder(path)
    if not path.exists() and find_idx(path):
        return open_idx(path)
    what = "is a file of another kind" if path.exists() else "does not exist"
    raise DataError(
        f"{name} {what}; accepted are the names {', '.join(SOURCES)}, a folder of idx files, an .npz file, and a "
        "folder of PNG or JPEG files with one folder a class. Check the path."
    )
