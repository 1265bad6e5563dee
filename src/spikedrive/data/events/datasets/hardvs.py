"""HARDVS: 300 activities of people before a DAVIS346, as events, and in version 2.0 as pictures of both cameras."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path

import torch

from spikedrive.data.events.clips import EventSet
from spikedrive.data.events.datasets.clip_files import FileClips, read_list, read_recording
from spikedrive.data.events.datasets.published import DATASETS, Layout, Published
from spikedrive.data.events.paired.clips import PairedClip, PairedSet
from spikedrive.data.pictures import ImageFiles
from spikedrive.errors import DataError

LAYOUT = Layout(
    title="HARDVS",
    page="https://github.com/Event-AHU/HARDVS (the compact event files, MINI_HARDVS_files.zip, and the three lists)",
    tree="""
train_label.txt
val_label.txt
test_label.txt
HARDVS_300_class.txt         (for the names of the classes)
action_001/ dvSave-2021_10_15_19_18_02.npz ...
...
action_300/
""",
    splits=("train", "val", "test"),
)
LAYOUT_2 = Layout(
    title="HARDVS 2.0",
    page="https://github.com/Event-AHU/HARDVS/tree/HARDVSv2 (RGB Event Images)",
    tree="""
HarDvs300_list/ train_label.txt test_label.txt      (or beside the other files)
HARDVS_300_class.txt                                (for the names of the classes)
rawframes/                                          (or its folders directly)
  action_001/dvSave-2021_10_15_19_18_02/
    dvSave-2021_10_15_19_18_02_aps/ 00000000.png ...
    dvSave-2021_10_15_19_18_02_dvs/ 00000000.png ...
  ...
  action_300/
""",
    splits=("train", "test"),
)
CLASSES = 300
WIDTH, HEIGHT = 346, 260


def load_hardvs(root: Path, split: str) -> EventSet:
    """Some 100,000 clips of 300 classes, of about 5 s, on 346 x 260 pixels.

    A list names its clips in the first field of each line, the folder of whose class is taken for the label.

    *Source*: Wang et al., AAAI 2024, arXiv:2211.09648.
    """
    paths, labels = [], []
    for line in read_list(LAYOUT.part(root, f"{split}_label.txt"), 1):
        found = re.fullmatch(r"action_(\d{3})/[^/]+", line[0])
        if found is None or not 1 <= int(found.group(1)) <= CLASSES:
            raise DataError(
                f"{root / f'{split}_label.txt'} names {line[0]!r}; action_001/... to action_{CLASSES}/... are taken. "
                "Copy it again."
            )
        paths.append(LAYOUT.part(root, f"{line[0].removesuffix('.npz')}.npz"))
        labels.append(int(found.group(1)) - 1)
    clips = FileClips(tuple(paths), partial(read_recording, size=(WIDTH, HEIGHT)), WIDTH, HEIGHT)
    return EventSet(clips, torch.tensor(labels), _names(root / "HARDVS_300_class.txt"), WIDTH, HEIGHT)


def HARDVS2(root: str | PathLike[str], split: str = "train") -> PairedSet:  # noqa: N802 - a data set's name
    """The clips of one split, 107,646 in both as published, of 300 classes and 346 x 260 pixels, in order of its list.

    A list names its clips in the first field of each line, the folder of whose class is taken for the label. A clip's
    pictures are those whose file names both of its folders have, and they are read when they are asked for.

    *Raises*: DataError for a split that it does not have, or a folder of another layout.
    *Source*: Wang et al., arXiv:2504.05830; the layout as the loader of its released code has it. **Not sure**: that
    the published archive lies as that loader expects it, what the number of frames in a list counts (it is not read),
    and whether some files are not 346 x 260 (they would be scaled).
    """
    LAYOUT_2.check_split(split)
    top = LAYOUT_2.root(root)
    listed = LAYOUT_2.part(top, f"HarDvs300_list/{split}_label.txt", f"{split}_label.txt")
    frames = top / "rawframes" if (top / "rawframes").is_dir() else top
    folders, labels = [], []
    for line in read_list(listed, 1):
        found = re.fullmatch(r"action_(\d{3})/[^/]+", line[0])
        if found is None or not 1 <= int(found.group(1)) <= CLASSES:
            raise DataError(
                f"{listed} names {line[0]!r}; action_001/... to action_{CLASSES}/... are taken. Copy it again."
            )
        folders.append(LAYOUT_2.part(frames, line[0]))
        labels.append(int(found.group(1)) - 1)
    names = _names(top / "HARDVS_300_class.txt")
    return PairedSet(_Folders(tuple(folders)), torch.tensor(labels), names, WIDTH, HEIGHT, event_channels=3)


@dataclass(frozen=True)
class _Folders:
    """One folder a clip."""

    folders: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.folders)

    def __getitem__(self, index: int, /) -> PairedClip:
        folder = self.folders[index]
        files = {
            camera: {path.name: path for path in LAYOUT_2.files(_camera(folder, camera), "*.png")}
            for camera in ("aps", "dvs")
        }
        both = sorted(files["aps"].keys() & files["dvs"].keys())
        if not both:
            raise DataError(
                f"{folder} has {len(files['aps'])} pictures and {len(files['dvs'])} pictures of events, and no two of "
                "one name; a pair has one name. Copy the folder again."
            )
        rgb, events = (
            ImageFiles([files[camera][name] for name in both], (HEIGHT, WIDTH), 3, cache_bytes=0)
            for camera in ("aps", "dvs")
        )
        return PairedClip(rgb, events)


def _camera(folder: Path, camera: str) -> Path:
    return LAYOUT_2.part(folder, f"{folder.name}_{camera}")


def _names(path: Path) -> tuple[str, ...]:
    """Of lines such as "Action001-L type clamp back"; the folders' names where there is no such file."""
    if not path.is_file():
        return tuple(f"action_{number:03}" for number in range(1, CLASSES + 1))
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    found = [re.fullmatch(r"Action(\d{3})[-\s]*(.+)", line) for line in lines]
    names = {int(match.group(1)): match.group(2) for match in found if match}
    if None in found or sorted(names) != list(range(1, CLASSES + 1)):
        raise DataError(
            f"{path} names {len(names)} classes in {len(lines)} lines; Action001 to Action{CLASSES}, one a line, are "
            "taken. Copy it again, or leave it out."
        )
    return tuple(names[number] for number in sorted(names))


DATASETS.add("hardvs", Published(LAYOUT, load_hardvs))
