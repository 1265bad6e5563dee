"""Trees of image files, one folder a class."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch

from spikedrive.data.decoding import decode
from spikedrive.data.idx import Split
from spikedrive.data.images import ImageSet
from spikedrive.data.pictures import SUFFIXES, ImageFiles
from spikedrive.data.size import Size, height_width
from spikedrive.errors import DataError

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_IGNORED = ("thumbs.db", "desktop.ini")


def open_folder(root: Path) -> Mapping[str, Split]:
    """The splits of a tree root/[split/]class/file; a tree without split folders has "train" alone.

    Classes are the sorted folder names, the same in every split. Hidden files are passed over.

    Raises: DataError for an empty folder, one without class folders, or splits with other classes.
    """
    folders = _folders(root)
    splits = {_SPLITS[f.name.lower()]: f for f in folders if f.name.lower() in _SPLITS}
    if splits and len(splits) != len(folders):
        raise DataError(
            f"{root} holds {', '.join(f.name for f in folders)}; either split folders (train, val, test, each once) or "
            "class folders are accepted. Keep one of the two."
        )
    classes = {split: _classes(folder) for split, folder in (splits or {"train": root}).items()}
    known = classes.get("train") or next(iter(classes.values()))
    for split, names in classes.items():
        strange = sorted(set(names) ^ set(known))
        if strange:
            raise DataError(
                f"{splits[split]} and the training folder differ in class {strange[0]!r}; every split must have the "
                "same class folders. Add or remove it."
            )
    order = {split: splits.get(split, root) for split in ("train", "val", "test") if split in classes}
    return {split: partial(_load, folder, known) for split, folder in order.items()}


def _load(folder: Path, names: tuple[str, ...], size: Size | None, channels: int | None) -> ImageSet:
    per_class = [_files(folder / name) for name in names]
    paths = [path for files in per_class for path in files]
    labels = torch.repeat_interleave(torch.tensor([len(files) for files in per_class]))
    first = decode(paths[0], size, channels)
    target = height_width(size) if size is not None else first.shape[1:]
    files = ImageFiles(
        paths,
        target,
        first.shape[0],
        resize=size is not None,
        colour=channels is not None or first.shape[0] == 3,
    )
    return ImageSet(files, labels, names)


def _folders(root: Path) -> list[Path]:
    visible = [entry for entry in sorted(root.iterdir()) if not entry.name.startswith(".")]
    folders = [entry for entry in visible if entry.is_dir()]
    if not folders:
        what = "holds files and no class folders" if visible else "is empty"
        raise DataError(
            f"{root} {what}; a folder of idx files, or of PNG or JPEG files with one folder a class, is accepted. "
            "Sort the images into one folder a class."
        )
    return folders


def _classes(folder: Path) -> tuple[str, ...]:
    return tuple(entry.name for entry in _folders(folder))


def _files(folder: Path) -> list[Path]:
    entries = sorted(path for path in folder.rglob("*") if path.is_file())
    visible = [
        path
        for path in entries
        if path.name.lower() not in _IGNORED
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    strange = next((path for path in visible if path.suffix.lower() not in SUFFIXES), None)
    if strange is not None:
        raise DataError(
            f"{strange} is of a type that is not read; a class folder holds {', '.join(SUFFIXES)} files. "
            "Convert, move or remove it."
        )
    if not visible:
        raise DataError(
            f"The class folder {folder} has no images; each needs at least one PNG or JPEG file. Fill or remove it."
        )
    return visible
