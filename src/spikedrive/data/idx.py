"""The idx format of MNIST and its relatives."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from spikedrive.data.fit import Size, fit
from spikedrive.data.images import ImageSet
from spikedrive.errors import DataError

Split = Callable[[Size | None, int | None], ImageSet]
"""Reads one split at a size and a number of channels."""

_IMAGES = re.compile(r"(?P<prefix>.*?)-?(?P<part>train|t10k|test)-images[-.]idx3-ubyte(\.gz)?")
_PARTS = {"train": "train", "t10k": "test", "test": "test"}


def read_idx(path: str | Path) -> np.ndarray:
    """The uint8 array of one idx file, gzipped or not.

    Raises: DataError for a file that is truncated, too long, or not unsigned-byte idx.
    """
    path = Path(path)
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is truncated or no gzip file ({error}). Fetch it again.") from error
    except OSError as error:
        raise DataError(
            f"{path} could not be read ({error.strerror}); a readable idx file is needed there."
        ) from error
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise DataError(
            f"{path} starts with {raw[:4].hex() or 'nothing'}; an idx file of unsigned bytes starts with 000008. "
            "Fetch it again, or hand in another format."
        )
    axes = raw[3]
    shape = np.frombuffer(raw[4 : 4 + 4 * axes], ">u4").tolist() if len(raw) >= 4 + 4 * axes else []
    if len(shape) != axes or len(raw) != 4 + 4 * axes + math.prod(shape):
        held = max(len(raw) - 4 - 4 * axes, 0)
        raise DataError(
            f"{path} is truncated or damaged: its header promises {'x'.join(map(str, shape)) or 'nothing'} bytes and "
            f"{held} follow. Fetch it again."
        )
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)


def find_idx(path: Path) -> dict[str, tuple[Path, Path]]:
    """The (images, labels) files of each split in a folder, or of one `folder/prefix` in it.

    EMNIST keeps several sets in one folder; `folder/emnist-balanced` picks one.

    Raises: DataError when several sets are found, or images without labels.
    """
    folder, wanted = (path, None) if path.is_dir() else (path.parent, path.name)
    sets: dict[str, dict[str, tuple[Path, Path]]] = {}
    for images in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = _IMAGES.fullmatch(images.name)
        if match is None or wanted not in (None, match["prefix"]):
            continue
        head, tail = images.name[: match.end("part")], images.name[match.end("part") :]
        stem = head + tail.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
        labels = next((p for p in (folder / stem, folder / f"{stem}.gz") if p.is_file()), None)
        if labels is None:
            raise DataError(f"{images} has no labels; {stem} or {stem}.gz is needed beside it. Fetch it.")
        sets.setdefault(match["prefix"], {})[_PARTS[match["part"]]] = (images, labels)
    if len(sets) > 1:
        names = ", ".join(str(folder / prefix) for prefix in sets)
        raise DataError(f"{folder} holds {len(sets)} idx sets; one at a time is accepted. Name one: {names}.")
    return next(iter(sets.values()), {})


def open_idx(path: Path, class_names: tuple[str, ...] | None = None) -> Mapping[str, Split]:
    """The splits of an idx folder; empty where it holds no idx images.

    Classes are named by `class_names`, by EMNIST's mapping file, or by their numbers.
    """
    found = find_idx(path)
    names = class_names or _mapping(found) or _numbers(found)
    return {split: partial(_load, *files, names) for split, files in found.items()}


def _load(
    images: Path, labels: Path, names: tuple[str, ...], size: Size | None, channels: int | None
) -> ImageSet:
    pixels, classes = read_idx(images), read_idx(labels)
    if pixels.ndim != 3 or classes.shape != pixels.shape[:1]:
        raise DataError(
            f"{images} holds {pixels.shape} and {labels.name} holds {classes.shape}; (N, H, W) images and N labels are "
            "accepted. Check that both belong together."
        )
    if classes.size and classes.max() >= len(names):
        raise DataError(
            f"{labels} has label {classes.max()}, out of range for {len(names)} classes; 0 to {len(names) - 1} is "
            "accepted. Check that it belongs to this set."
        )
    if images.name.startswith("emnist-"):
        # EMNIST is stored with rows and columns exchanged
        pixels = pixels.transpose(0, 2, 1)
    tensor = torch.from_numpy(np.array(pixels, order="C"))[:, None]
    return ImageSet(fit(tensor, size, channels), torch.from_numpy(classes.astype(np.int64)), names)


def _mapping(found: Mapping[str, tuple[Path, Path]]) -> tuple[str, ...] | None:
    for images, _ in found.values():
        match = _IMAGES.fullmatch(images.name)
        table = images.with_name(f"{match['prefix']}-mapping.txt") if match else images
        if match and table.is_file():
            rows = [line.split() for line in table.read_text().splitlines() if line.strip()]
            names = {int(row[0]): "/".join(dict.fromkeys(chr(int(code)) for code in row[1:])) for row in rows}
            return tuple(names.get(label, str(label)) for label in range(max(names) + 1))
    return None


def _numbers(found: Mapping[str, tuple[Path, Path]]) -> tuple[str, ...]:
    # the training labels decide, so that a test split cannot bring in a class that was never trained
    _, labels = found.get("train") or next(iter(found.values()), (None, None))
    highest = int(read_idx(labels).max(initial=0)) if labels else -1
    return tuple(str(label) for label in range(highest + 1))
