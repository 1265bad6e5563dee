"""DailyDVS-200: 200 everyday actions of 47 people, with 14 attributes of each recording."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from spikedrive.data.events.clips import EventSet
from spikedrive.data.events.datasets.clip_files import FileClips, read_list, read_recording
from spikedrive.data.events.datasets.published import DATASETS, Layout, Published
from spikedrive.errors import DataError, ShapeError

LAYOUT = Layout(
    title="DailyDVS-200",
    page="https://github.com/QiWang233/DailyDVS-200",
    tree="""
train.txt, val.txt, test.txt     (or in train_val_test/)
all_data.json                    (for the attributes)
action_description.csv           (for the names of the classes, or in resource/)
action_1/ C0P3M0S1_20231111_09_11_23.aedat4 ...
...
action_200/
""",
    splits=("train", "val", "test"),
)
CLASSES = 200
WIDTH, HEIGHT = 320, 240
_FACTS = re.compile(r"C(?P<action>\d+)P(?P<person>\d+)M(?P<move>\d+)S(?P<scene>\d+)_\d+(_\d+)*\.aedat4")


def load_daily_dvs200(root: Path, split: str) -> EventSet:
    """14,773, 3,735 and 4,093 clips of 320 x 240 pixels, divided by people; needs faery.

    *Source*: Wang et al., ECCV 2024, arXiv:2407.05106.
    """
    entries = _entries(root, split)
    for place, label in entries:
        if not 0 <= label < CLASSES or int(_facts(place)["action"]) != label:
            raise DataError(
                f"The list of {split} says that {place} is of class {label}; its name says "
                f"{_facts(place)['action']}, and classes are 0 to {CLASSES - 1}. Copy the list again."
            )
    paths = tuple(LAYOUT.part(root, place) for place, _ in entries)
    labels = torch.tensor([label for _, label in entries])
    clips = FileClips(paths, read_recording, WIDTH, HEIGHT)
    return EventSet(clips, labels, _names(root), WIDTH, HEIGHT)


def people(root: str | PathLike[str], split: str) -> tuple[int, ...]:
    """Who is seen in each clip of a split, by the number in the file's name."""
    return tuple(int(_facts(place)["person"]) for place, _ in _entries(LAYOUT.root(root), split))


def attributes(root: str | PathLike[str], split: str) -> tuple[dict[str, str], ...]:
    """What is said of each clip of a split: "Indoor/Outdoor", "Direction of Light", "Range of Motion" and so on.

    *Raises*: DataError without the file of attributes, or where a clip is not in it.
    """
    folder = LAYOUT.root(root)
    path = LAYOUT.part(folder, "all_data.json", "all_data_label.json")
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(
            f"{path} cannot be read as JSON ({error}); it is truncated. Copy it again."
        ) from error
    rows = list(table.values()) if isinstance(table, dict) else table
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "FileName" in row for row in rows):
        raise DataError(
            f"{path} has entries without a FileName; a list of objects that have one is taken. Copy it again."
        )
    known = {row["FileName"]: {key: str(value) for key, value in row.items()} for row in rows}
    names = [Path(place).name for place, _ in _entries(folder, split)]
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise DataError(
            f"{path} says nothing of {unknown}, which is in the list of {split}; every clip is in it. Copy both again."
        )
    return tuple(known[name] for name in names)


def accuracy_by_attribute(
    correct: Tensor, said: Sequence[Mapping[str, str]], attribute: str
) -> dict[str, tuple[float, int]]:
    """For each value of an attribute the share of clips that were answered right, and how many clips there are.

    *Shapes*: correct (clips,) bool.
    *Raises*: ShapeError for other numbers of clips; DataError for an attribute that a clip does not have.

    >>> accuracy_by_attribute(torch.tensor([True, False, True]), [{"at": "day"}, {"at": "day"}, {"at": "night"}], "at")
    {'day': (0.5, 2), 'night': (1.0, 1)}
    """
    if correct.shape != (len(said),) or correct.dtype != torch.bool:
        raise ShapeError(
            f"accuracy_by_attribute got answers of shape {tuple(correct.shape)} and {correct.dtype} and attributes of "
            f"{len(said)} clips; one truth value a clip is taken. Pass (answers == labels) of the same split."
        )
    without = next((i for i, row in enumerate(said) if attribute not in row), None)
    if without is not None:
        raise DataError(
            f"Clip {without} has no attribute {attribute!r}; it has {', '.join(said[without])}. Ask for one of these."
        )
    found = {}
    for value in sorted({row[attribute] for row in said}):
        chosen = correct[torch.tensor([row[attribute] == value for row in said])]
        found[value] = (chosen.double().mean().item(), len(chosen))
    return found


def _entries(root: Path, split: str) -> list[tuple[str, int]]:
    LAYOUT.check_split(split)
    path = LAYOUT.part(root, f"{split}.txt", f"train_val_test/{split}.txt")
    lines = read_list(path, 2)
    wrong = next((line for line in lines if not line[1].isdecimal()), None)
    if wrong is not None:
        raise DataError(
            f"{path} has the line {' '.join(wrong)!r}; a path and the number of its class are taken. Copy it again."
        )
    return [(line[0], int(line[1])) for line in lines]


def _facts(place: str) -> dict[str, str]:
    found = _FACTS.fullmatch(Path(place).name)
    if found is None:
        raise DataError(
            f"{place} is not named as DailyDVS-200 names its files, C0P3M0S1_20231111_09_11_23.aedat4, by class, "
            "person, movement and scene. Copy the list again."
        )
    return found.groupdict()


def _names(root: Path) -> tuple[str, ...]:
    """Of lines of number, name and description; numbers where there is no such file."""
    places = [root / place for place in ("action_description.csv", "resource/action_description.csv")]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return tuple(f"action {number}" for number in range(CLASSES))
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file) if row][1:]
    if [row[0] for row in rows] != [str(number) for number in range(CLASSES)] or any(
        len(r) < 2 for r in rows
    ):
        raise DataError(
            f"{path} has {len(rows)} lines behind its first; number and name of the classes 0 to {CLASSES - 1} are "
            "taken. Copy it again, or leave it out."
        )
    return tuple(row[1] for row in rows)


DATASETS.add("daily_dvs200", Published(LAYOUT, load_daily_dvs200))
