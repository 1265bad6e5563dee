"""Published event data sets: small folders of the same layout, and what is said when they are missing."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data import event_encoders
from spikedrive.data.events import EventSet
from spikedrive.data.events.datasets import DATASETS, dvs128_gesture, n_caltech101
from spikedrive.errors import DataError, UnknownNameError

Maker = Callable[[Path], None]


def make_n_mnist(root: Path) -> None:
    for split, many in (("Train", 2), ("Test", 1)):
        for digit in range(10):
            for i in range(many):
                rows = [(100 + 7 * i, digit, 2, 1), (300, 3, 33, 0)]
                event_encoders.write_atis(root / split / str(digit) / f"{i:05}.bin", rows)


def make_n_caltech101(root: Path) -> None:
    for name in ("BACKGROUND_Google", "accordion", "yin_yang"):
        for i in (1, 2):
            event_encoders.write_atis(
                root / "Caltech101" / name / f"image_{i:04}.bin", [(5, 239, 179, 1), (9, i, 0, 0)]
            )
    for name in ("accordion", "yin_yang"):
        table = struct.pack("<2h8h", 2, 4, 10, 20, 50, 20, 50, 60, 10, 60) + struct.pack(
            "<2h4h", 2, 2, 1, 2, 3, 4
        )
        event_encoders.make(root / "Caltech101_annotations" / name / "annotation_0001.bin").write_bytes(table)


def make_cifar10_dvs(root: Path) -> None:
    for name in DATASETS_CIFAR:
        for i in (0, 99, 100, 101):
            event_encoders.write_aedat2(
                root / name / f"cifar10_{name}_{i}.aedat", [(10, 3, 120, 1), (12, 4, 5, 0)]
            )


DATASETS_CIFAR = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


def make_dvs128_gesture(root: Path) -> None:
    folder = root / "DvsGesture"
    for user in ("user01_led", "user24_lab"):
        rows = [(1000 * k, k % 128, 127, k % 2) for k in range(100)]
        packets = [event_encoders.aedat3_packet(rows[k : k + 10]) for k in range(0, 100, 10)]
        event_encoders.write_aedat3(folder / f"{user}.aedat", packets)
        # the second starts before the first ends, as in user22_led
        (folder / f"{user}_labels.csv").write_text(
            "class,startTime_usec,endTime_usec\n2,15000,40000\n11,38500,70000\n\n"
        )
    (folder / "trials_to_train.txt").write_text("user01_led.aedat\n")
    (folder / "trials_to_test.txt").write_text("user24_lab.aedat\n")


MAKERS: dict[str, Maker] = {
    "cifar10_dvs": make_cifar10_dvs,
    "dvs128_gesture": make_dvs128_gesture,
    "n_caltech101": make_n_caltech101,
    "n_mnist": make_n_mnist,
}


def opened(name: str, root: Path, split: str = "train") -> EventSet:
    MAKERS[name](root)
    return DATASETS[name].open(root, split)


def test_every_data_set_has_a_folder_here() -> None:
    assert list(DATASETS) == sorted(MAKERS)


@pytest.mark.parametrize("name", DATASETS)
def test_every_split_opens_and_every_clip_starts_at_zero(name: str, tmp_path: Path) -> None:
    MAKERS[name](tmp_path)
    for split in DATASETS[name].layout.splits:
        found = DATASETS[name].open(str(tmp_path), split)
        assert len(found)
        for i in range(len(found)):
            clip = found[i]
            assert len(clip) and clip.array["t"][0] >= 0 and (np.diff(clip.array["t"]) >= 0).all()
            assert (clip.width, clip.height) == (found.width, found.height)
        assert len(found.split(0.5)[0]) + len(found.split(0.5)[1]) == len(found)


@pytest.mark.parametrize("name", DATASETS)
def test_what_is_missing_is_named_with_the_tree_and_the_page(name: str, tmp_path: Path) -> None:
    layout = DATASETS[name].layout
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError) as error:
            DATASETS[name].open(root, layout.splits[0])
        said = str(error.value)
        assert str(root) in said and layout.title in said and layout.page in said and "unpack it" in said
        for line in layout.tree.strip().splitlines():
            assert line in said
    with pytest.raises(DataError, match=f"{layout.title} has no split 'both'; it has train"):
        DATASETS[name].open(tmp_path, "both")


def test_unknown_names_have_neighbours() -> None:
    with pytest.raises(UnknownNameError, match="n_mnist"):
        DATASETS["nmnist"]


def test_n_mnist(tmp_path: Path) -> None:
    train = opened("n_mnist", tmp_path)
    assert (len(train), train.width, train.height) == (20, 34, 34)
    assert train.labels.tolist() == [d for d in range(10) for _ in range(2)]
    assert [tuple(map(int, e)) for e in train[7].array] == [(0, 3, 2, 1), (193, 3, 33, 0)]
    assert len(DATASETS["n_mnist"].open(tmp_path, "test")) == 10


def test_an_event_outside_names_the_file(tmp_path: Path) -> None:
    train = opened("n_mnist", tmp_path)
    event_encoders.write_atis(tmp_path / "Train" / "0" / "00000.bin", [(1, 34, 0, 1)])
    with pytest.raises(DataError, match=r"00000\.bin holds what is no clip. Event 0 is at x = 34"):
        train[0]


def test_events_out_of_order_are_sorted(tmp_path: Path) -> None:
    train = opened("n_mnist", tmp_path)
    event_encoders.write_atis(
        tmp_path / "Train" / "0" / "00000.bin", [(9, 1, 0, 1), (4, 2, 0, 1), (9, 3, 0, 0)]
    )
    assert train[0].array["x"].tolist() == [2, 1, 3] and train[0].array["t"].tolist() == [0, 5, 5]


def test_n_caltech101_with_its_annotations(tmp_path: Path) -> None:
    train = opened("n_caltech101", tmp_path)
    assert train.class_names == ("BACKGROUND_Google", "accordion", "yin_yang")
    assert (len(train), train.width, train.height) == (6, 240, 180)
    files = n_caltech101.annotation_files(tmp_path)
    assert [file is not None for file in files] == [False, False, True, False, True, False]
    annotation = n_caltech101.read_annotation(files[2] or "")
    assert annotation.box.tolist() == [10, 20, 50, 60]
    assert annotation.outline.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("size", [0, 3, 12, 21, 22])
def test_truncated_annotations(size: int, tmp_path: Path) -> None:
    make_n_caltech101(tmp_path)
    path = tmp_path / "Caltech101_annotations" / "accordion" / "annotation_0001.bin"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match="two tables of 2 rows, x and y, are taken"):
        n_caltech101.read_annotation(path)


def test_cifar10_dvs_is_divided_by_number_and_stands_upright(tmp_path: Path) -> None:
    train = opened("cifar10_dvs", tmp_path)
    test = DATASETS["cifar10_dvs"].open(tmp_path, "test")
    assert (len(train), len(test), train.class_names[3]) == (20, 20, "cat")
    names = [path.stem for path in test.clips.paths[:2]]  # type: ignore[attr-defined]
    assert names == ["cifar10_airplane_0", "cifar10_airplane_99"]
    assert [tuple(map(int, e)) for e in train[0].array] == [(0, 120, 3, 1), (2, 5, 4, 0)]
    (tmp_path / "bird" / "cifar10_bird.aedat").touch()
    with pytest.raises(DataError, match="has no number at its end"):
        DATASETS["cifar10_dvs"].open(tmp_path)


def test_gestures_are_cut_out_by_their_labels(tmp_path: Path) -> None:
    train = opened("dvs128_gesture", tmp_path)
    assert (len(train), len(train.class_names)) == (2, 11)
    assert [train.class_names[k] for k in train.labels] == ["right_hand_wave", "other_gestures"]
    # from 15 ms on, which is the clip's zero
    assert train[0].array["t"].tolist() == [1000 * k for k in range(25)]
    assert train[1].array["t"][[0, -1]].tolist() == [500, 30500]
    assert train[1].array["x"][0] == 39
    # the folder itself is taken too
    assert len(DATASETS["dvs128_gesture"].open(tmp_path / "DvsGesture", "test")) == 2


@pytest.mark.parametrize("line", ["0,1,2", "12,1,2", "3,5,5", "3,5", "clap,1,2"])
def test_labels_of_gestures_that_are_none(line: str, tmp_path: Path) -> None:
    make_dvs128_gesture(tmp_path)
    (tmp_path / "DvsGesture" / "user01_led_labels.csv").write_text(f"class,start,end\n1,1,2\n{line}\n")
    with pytest.raises(DataError, match=r"Line 3 of .*user01_led_labels\.csv is .*a gesture from 1 to 11"):
        DATASETS["dvs128_gesture"].open(tmp_path)


def test_only_the_packets_of_a_gesture_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = opened("dvs128_gesture", tmp_path)
    assert isinstance(train.clips, dvs128_gesture.CutClips)
    whole = np.frombuffer
    read: list[int] = []

    def counted(data: object, *args: object) -> np.ndarray:
        found = whole(data, *args)  # type: ignore[call-overload]
        read.append(len(found))
        return found

    train[0]
    monkeypatch.setattr(np, "frombuffer", counted)
    train[0]
    # 15 to 40 ms lie in three packets of ten
    assert read == [10, 10, 10]


def test_splits_are_opened_when_they_are_asked_for(tmp_path: Path) -> None:
    splits = DATASETS["n_mnist"].splits(tmp_path)
    assert tuple(splits) == ("train", "test")
    make_n_mnist(tmp_path)
    assert len(splits["test"]()) == 10
    with pytest.raises(DataError, match="N-MNIST was asked for without a folder, as in NAME:FOLDER"):
        DATASETS["n_mnist"].splits(None)
