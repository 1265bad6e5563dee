"""DVS128 Gesture: 11 gestures of 29 people in three kinds of light, cut out of long recordings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from spikedrive.data.events.clips import EventSet
from spikedrive.data.events.datasets.clip_files import clip_of
from spikedrive.data.events.datasets.published import DATASETS, Layout, Published
from spikedrive.data.events.events import Events
from spikedrive.data.events.formats import read_aedat3
from spikedrive.errors import DataError

LAYOUT = Layout(
    title="DVS128 Gesture",
    page="https://ibm.ent.box.com/s/3hiq58ww1pbbjrinh367ykfdf60xsfm8/folder/50167556794 (DvsGesture.tar.gz)",
    tree="""
DvsGesture/
  trials_to_train.txt
  trials_to_test.txt
  user01_fluorescent.aedat
  user01_fluorescent_labels.csv      (class,startTime_usec,endTime_usec)
  ...
""",
    splits=("train", "test"),
)
CLASSES = (
    "hand_clapping", "right_hand_wave", "left_hand_wave", "right_arm_clockwise", "right_arm_counter_clockwise",
    "left_arm_clockwise", "left_arm_counter_clockwise", "arm_roll", "air_drums", "air_guitar", "other_gestures",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class CutClips:
    """Parts of recordings, each from its start to its end; only their packets are read.

    *Units*: starts and ends in microseconds of the recording's clock.
    """

    parts: tuple[tuple[Path, int, int], ...]
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int, /) -> Events:
        path, start, end = self.parts[index]
        return clip_of(read_aedat3(path, start, end), self.width, self.height, path, start=start)


def load_dvs128_gesture(root: Path, split: str) -> EventSet:
    """1,176 or 288 clips of 128 x 128 pixels; the people of the test are others than those of the training.

    *Source*: Amir et al., CVPR 2017.
    """
    folder = LAYOUT.part(root, "DvsGesture") if (root / "DvsGesture").is_dir() else root
    trials = LAYOUT.part(folder, f"trials_to_{split}.txt").read_text().split()
    parts, labels = [], []
    for trial in trials:
        recording = LAYOUT.part(folder, trial)
        for label, start, end in _read_labels(LAYOUT.part(folder, f"{recording.stem}_labels.csv")):
            parts.append((recording, start, end))
            labels.append(label)
    clips = CutClips(tuple(parts), 128, 128)
    return EventSet(clips, torch.tensor(labels, dtype=torch.int64), CLASSES, 128, 128)


def _read_labels(path: Path) -> list[tuple[int, int, int]]:
    found = []
    for number, line in enumerate(path.read_text().split("\n")[1:], start=2):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != 3 or not all(field.isdecimal() for field in fields):
            raise _wrong(path, number, line)
        gesture, start, end = (int(field) for field in fields)
        if not 1 <= gesture <= len(CLASSES) or end <= start:
            raise _wrong(path, number, line)
        found.append((gesture - 1, start, end))
    return found


def _wrong(path: Path, number: int, line: str) -> DataError:
    return DataError(
        f"Line {number} of {path} is {line.strip()!r}; a gesture from 1 to {len(CLASSES)}, a start and a later end in "
        "microseconds are taken. Copy the file again."
    )


DATASETS.add("dvs128_gesture", Published(LAYOUT, load_dvs128_gesture))
