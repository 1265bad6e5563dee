"""HARDVS: 300 activities of people in front of a DAVIS346."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import torch

from spikedrive.data.events.clips import EventSet
from spikedrive.data.events.datasets.clip_files import FileClips, read_list, read_recording
from spikedrive.data.events.datasets.published import DATASETS, Layout, Published
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
