"""Published event data sets: small folders of the same layout, and what is said when they are missing."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from data import event_encoders
from spikedrive.data.events import Events, EventSet, list_event_splits, load_events, write_recording
from spikedrive.data.events.datasets import DATASETS, daily_dvs200, dvs128_gesture, n_caltech101
from spikedrive.errors import DataError, MissingExtraError, ShapeError, UnknownNameError

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


def make_asl_dvs(root: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    for letter in "abcdefghiklmnopqrstuvwxy":
        path = event_encoders.make(root / letter / f"{letter}_0001.mat")
        columns = {"ts": [7, 9], "x": [239, 0], "y": [179, 4], "pol": [1, 0]}
        scipy_io.savemat(path, {k: np.array(v, np.uint8)[:, None] for k, v in columns.items()})


def make_hardvs(root: Path) -> None:
    for split, number in (("train", 1), ("val", 300), ("test", 2)):
        name = f"action_{number:03}/dvSave-2021_10_15_19_18_{number:02}"
        columns = {"t": [50, 40, 60], "x": [345, 1, 2], "y": [259, 1, 2], "p": [1, 0, 1]}
        np.savez(event_encoders.make(root / f"{name}.npz"), **{k: np.array(v) for k, v in columns.items()})
        (root / f"{split}_label.txt").write_text(f"{name} 8 {number - 1}\n\n")


def make_daily_dvs200(root: Path) -> None:
    rows = []
    for split, person, label in (("train", 2, 49), ("val", 3, 0), ("test", 48, 199)):
        lines = []
        for scene, place in ((0, "Indoor"), (1, "Outdoor")):
            name = f"C{label}P{person}M1S{scene}_20231111_15_48_0{scene}.aedat4"
            path = event_encoders.make(root / f"action_{label + 1}" / name)
            write_recording(path, Events.of([40, 70], [319, 2], [239, 3], [1, 0], width=320, height=240))
            lines.append(f"action_{label + 1}/{name} {label}\n")
            rows.append({"FileName": name, "Indoor/Outdoor": place, "ID": str(person), "Perspective": ""})
        event_encoders.make(root / "train_val_test" / f"{split}.txt").write_text("".join(lines))
    (root / "all_data.json").write_text(json.dumps(rows))


MAKERS: dict[str, Maker] = {
    "asl_dvs": make_asl_dvs,
    "daily_dvs200": make_daily_dvs200,
    "hardvs": make_hardvs,
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


def test_letters_of_asl_dvs_stand_upright(tmp_path: Path) -> None:
    train = opened("asl_dvs", tmp_path)
    assert (len(train), train.width, train.height, len(train.class_names)) == (24, 240, 180, 24)
    assert "j" not in train.class_names and "z" not in train.class_names
    assert [tuple(map(int, e)) for e in train[5].array] == [(0, 239, 0, 1), (2, 0, 175, 0)]


def test_damaged_files_of_asl_dvs(tmp_path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    train = opened("asl_dvs", tmp_path)
    path = tmp_path / "a" / "a_0001.mat"
    whole = path.read_bytes()
    for damaged in (whole[:200], whole[:-20], b"no such thing" * 20):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a_0001\.mat cannot be read as a MATLAB file|has no .*pol"):
            train[0]
    scipy_io.savemat(path, {"ts": [1], "x": [1], "y": [1]})
    with pytest.raises(DataError, match="has no pol beside ts, x, y; the columns ts, x, y and pol are taken"):
        train[0]
    scipy_io.savemat(path, {"ts": [1], "x": [1], "y": [1], "pol": [1, 1]})
    with pytest.raises(DataError, match="columns of 1, 1, 1 and 2 numbers; all have one length"):
        train[0]


def test_without_scipy_its_install_command_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for letter in "abcdefghiklmnopqrstuvwxy":
        event_encoders.make(tmp_path / letter / "some.mat").touch()
    train = DATASETS["asl_dvs"].open(tmp_path)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(
        MissingExtraError, match=r"need the library scipy, .*pip install 'spikedrive\[events\]'"
    ):
        train[0]


def test_hardvs_is_divided_by_its_lists(tmp_path: Path) -> None:
    train = opened("hardvs", tmp_path)
    val = DATASETS["hardvs"].open(tmp_path, "val")
    assert (train.labels.tolist(), val.labels.tolist()) == ([0], [299])
    assert (train.width, train.height, train.class_names[299]) == (346, 260, "action_300")
    # out of order in the file
    assert train[0].array["t"].tolist() == [0, 10, 20] and train[0].array["x"].tolist() == [1, 345, 2]
    names = "".join(f"Action{k:03}- Move {k}\n" for k in range(1, 301))
    (tmp_path / "HARDVS_300_class.txt").write_text(names)
    assert DATASETS["hardvs"].open(tmp_path).class_names[299] == "Move 300"
    (tmp_path / "HARDVS_300_class.txt").write_text(names[:-20])
    with pytest.raises(DataError, match=r"names 299 classes in .*; Action001 to Action300, one a line"):
        DATASETS["hardvs"].open(tmp_path)


def test_lists_of_hardvs_that_are_none(tmp_path: Path) -> None:
    make_hardvs(tmp_path)
    path = tmp_path / "train_label.txt"
    for line in ("action_301/some 1 1", "walk/some 1 1"):
        path.write_text(line)
        with pytest.raises(DataError, match=r"action_001/... to action_300/... are taken"):
            DATASETS["hardvs"].open(tmp_path)
    path.write_text("action_001/gone 1 1")
    with pytest.raises(DataError, match=r"has no action_001/gone\.npz; HARDVS is taken as it is published"):
        DATASETS["hardvs"].open(tmp_path)
    path.write_text("\n")
    with pytest.raises(DataError, match="has no lines; 1 fields or more a line"):
        DATASETS["hardvs"].open(tmp_path)


def test_daily_dvs200_with_its_attributes(tmp_path: Path) -> None:
    train = opened("daily_dvs200", tmp_path)
    assert train.labels.tolist() == [49, 49] and train.class_names[49] == "action 49"
    assert [tuple(map(int, e)) for e in train[1].array] == [(0, 319, 239, 1), (30, 2, 3, 0)]
    assert daily_dvs200.people(tmp_path, "test") == (48, 48)
    said = daily_dvs200.attributes(tmp_path, "train")
    assert [row["Indoor/Outdoor"] for row in said] == ["Indoor", "Outdoor"]
    table = daily_dvs200.accuracy_by_attribute(torch.tensor([True, False]), said, "Indoor/Outdoor")
    assert table == {"Indoor": (1.0, 1), "Outdoor": (0.0, 1)}
    lines = "".join(f'{k},move {k},"First, then"\n' for k in range(200))
    event_encoders.make(tmp_path / "resource" / "action_description.csv").write_text(
        "ID,Action,More\n" + lines
    )
    assert DATASETS["daily_dvs200"].open(tmp_path).class_names[49] == "move 49"
    (tmp_path / "resource" / "action_description.csv").write_text("ID,Action,More\n0,move\n")
    with pytest.raises(
        DataError, match="has 1 lines behind its first; number and name of the classes 0 to 199"
    ):
        DATASETS["daily_dvs200"].open(tmp_path)


def test_lists_and_attributes_of_daily_dvs200_that_do_not_fit(tmp_path: Path) -> None:
    make_daily_dvs200(tmp_path)
    path = tmp_path / "train_val_test" / "train.txt"
    whole = path.read_text()
    for line, said in (
        (whole.replace(" 49\n", " 50\n"), "is of class 50; its name says 49"),
        (whole.replace(" 49\n", " sit\n"), "a path and the number of its class are taken"),
        (whole.replace("C49P2", "49P2"), "is not named as DailyDVS-200 names its files"),
        ("action_50/one\n", "2 fields or more a line"),
    ):
        path.write_text(line)
        with pytest.raises(DataError, match=said):
            DATASETS["daily_dvs200"].open(tmp_path)
    path.write_text(whole)
    for text, said in (
        ("[]", "says nothing of C49P2M1S0_20231111_15_48_00.aedat4, which is in the list of train"),
        ('[{"Name": "a"}]', "has entries without a FileName"),
        ('[{"FileNa', "cannot be read as JSON"),
    ):
        (tmp_path / "all_data.json").write_text(text)
        with pytest.raises(DataError, match=said):
            daily_dvs200.attributes(tmp_path, "train")
    (tmp_path / "all_data.json").unlink()
    with pytest.raises(
        DataError, match=r"has no all_data\.json and no all_data_label\.json; DailyDVS-200 is taken"
    ):
        daily_dvs200.attributes(tmp_path, "train")
    with pytest.raises(ShapeError, match=r"answers of shape .* of 2 clips; one truth value a clip is taken"):
        daily_dvs200.accuracy_by_attribute(torch.ones(3), [{"a": "b"}] * 2, "a")
    with pytest.raises(DataError, match=r"Clip 0 has no attribute 'Height'; it has a. Ask for one of these"):
        daily_dvs200.accuracy_by_attribute(torch.tensor([True]), [{"a": "b"}], "Height")


def test_they_are_sources_of_events(tmp_path: Path) -> None:
    make_n_mnist(tmp_path)
    assert list_event_splits(f"n_mnist:{tmp_path}") == ("train", "test")
    assert len(load_events(f"n_mnist:{tmp_path}", "test")) == 10
    with pytest.raises(DataError, match="N-MNIST was asked for without a folder"):
        load_events("n_mnist")
