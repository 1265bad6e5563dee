"""Clips of two cameras: the simulated actions, HARDVS 2.0 as published, and how both become frames."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spikedrive import data
from spikedrive.data.events import (
    Events,
    PairedClip,
    PairedReader,
    PairedSet,
    is_paired,
    list_paired_splits,
    load_paired,
)
from spikedrive.data.events.simulated import paired_actions
from spikedrive.data.events.simulated.actions import CLASSES, COLOURS, LUMA, WAYS
from spikedrive.errors import ConfigError, DataError, ShapeError, UnknownNameError


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPIKEDRIVE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def few(clips: int = 24, **settings) -> PairedSet:
    return paired_actions("train", clips=clips, **settings)


def test_every_clip_has_a_picture_and_events_and_the_class_names_both(own_cache: Path) -> None:
    found = few()
    assert len(found) == 24 and found.class_names == CLASSES and len(CLASSES) == 12
    assert found.labels.tolist() == [*range(12)] * 2
    for i in range(len(found)):
        clip = found[i]
        assert isinstance(clip.events, Events)
        assert clip.rgb[torch.tensor([0])].shape == (1, 3, 32, 32) and len(clip.rgb) == 1
        assert len(clip.events) > 50 and clip.events.array["t"][-1] <= 320_000
    assert len(list((own_cache / "events").iterdir())) == 1


def test_the_same_seed_gives_the_same_clips_and_another_one_others(own_cache: Path) -> None:
    first = few()
    second = few()
    other = few(seed=1)
    index = torch.tensor([0])
    for i in (0, 23):
        assert torch.equal(first[i].rgb[index], second[i].rgb[index])
        np.testing.assert_array_equal(first[i].events.array, second[i].events.array)  # type: ignore[union-attr]
        assert not torch.equal(first[i].rgb[index], other[i].rgb[index])
    assert len(list((own_cache / "events").iterdir())) == 2


def test_all_colours_are_equally_bright() -> None:
    for colour in COLOURS.values():
        assert sum(share * part for share, part in zip(LUMA, colour, strict=True)) == pytest.approx(0.5)
        assert all(0 <= part <= 1 for part in colour)


def test_events_say_the_way_and_pictures_the_colour(own_cache: Path) -> None:
    found = few(240)
    drift, colours = [], []
    for i in range(len(found)):
        clip = found[i]
        array = clip.events.array  # type: ignore[union-attr]
        # brighter in front, darker behind
        place = np.stack([array["x"], array["y"]]).astype(float)
        drift.append(place[:, array["p"] == 1].mean(1) - place[:, array["p"] == 0].mean(1))
        colours.append(clip.rgb[torch.tensor([0])].float().mean((0, 2, 3)))
    way, colour = found.labels % len(WAYS), found.labels // len(WAYS)
    right, down = np.array(drift).T
    told = np.where(np.abs(right) > np.abs(down), np.where(right > 0, 0, 1), np.where(down > 0, 2, 3))
    assert (torch.from_numpy(told) == way).double().mean() > 0.9
    mean = torch.stack(colours)
    share = mean / mean.sum(1, keepdim=True)
    tints = torch.tensor(list(COLOURS.values()))
    nearest = torch.cdist(share, tints / tints.sum(1, keepdim=True)).argmin(1)
    assert (nearest == colour).all()


def test_the_picture_is_the_same_whatever_way_the_clip_takes(own_cache: Path, monkeypatch) -> None:
    before = few()
    # the same draws with every way turned by a quarter
    monkeypatch.setattr("spikedrive.data.events.simulated.actions.moved", _turned())
    after = few(24, noise=True)
    index = torch.tensor([0])
    for i in range(24):
        assert torch.equal(before[i].rgb[index], after[i].rgb[index])


def _turned():
    from spikedrive.data.events.simulated.sets import moved

    return lambda pictures, ways, *rest: moved(pictures, [(w + 1) % 4 for w in ways], *rest)


def test_a_split_keeps_clips_with_their_labels(own_cache: Path) -> None:
    train, held = few(48).split(0.25, seed=3)
    assert len(train) == 36 and len(held) == 12
    assert sorted(held.labels.tolist()) == [*range(12)]
    twice = few(48).subset(torch.tensor([5, 5]))
    assert twice.labels.tolist() == [5, 5]
    assert torch.equal(twice[0].rgb[torch.tensor([0])], few(48)[5].rgb[torch.tensor([0])])


def test_what_the_set_is_not_is_refused() -> None:
    with pytest.raises(DataError, match="paired_actions has no split 'val'; it has train, test"):
        paired_actions("val")
    with pytest.raises(ConfigError, match="size=16; it takes at least 32"):
        paired_actions(size=16)
    with pytest.raises(DataError, match=r"has no split 'val'; it has train, test"):
        load_paired("paired_actions", "val")
    with pytest.raises(UnknownNameError, match="no set of two cameras named 'paired_action'"):
        load_paired("paired_action")
    with pytest.raises(DataError, match=r"without a folder, as in NAME:FOLDER"):
        list_paired_splits("hardvs2")
    assert is_paired("paired_actions") and is_paired("hardvs2:somewhere") and not is_paired("moving_fashion")


def test_parts_that_do_not_fit_are_refused() -> None:
    clips = [
        PairedClip(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), Events.of([], [], [], [], width=4, height=4))
    ]
    with pytest.raises(ShapeError, match="PairedSet got 1 clips and labels of shape"):
        PairedSet(clips, torch.tensor([0, 1]), ("a",), 4, 4, 2)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="labels from 1 to 1 and 1 class names"):
        PairedSet(clips, torch.tensor([1]), ("a",), 4, 4, 2)  # type: ignore[arg-type]


def pictures(count: int) -> torch.Tensor:
    """Pictures of 6 x 4 of which each is its number, in red alone."""
    found = torch.zeros(count, 3, 6, 4, dtype=torch.uint8)
    found[:, 0] = torch.arange(count, dtype=torch.uint8)[:, None, None]
    return found


EVENTS = Events.of([0, 10, 30], [0, 3, 3], [0, 0, 5], [1, 1, 0], width=4, height=6)


@pytest.mark.parametrize(
    ("count", "steps", "shown"),
    [(1, 3, [0, 0, 0]), (9, 3, [1, 4, 7]), (4, 4, [0, 1, 2, 3]), (2, 4, [0, 0, 1, 1])],
)
def test_a_step_shows_the_middle_of_its_part(count: int, steps: int, shown: list[int]) -> None:
    x = PairedReader(steps, 4, 6, inputs=("rgb",))([PairedClip(pictures(count), EVENTS)])
    assert x.shape == (steps, 1, 3, 6, 4)
    assert (x[:, 0, 0, 0, 0] * 255).round().tolist() == shown
    assert (x[:, :, 1:] == 0).all()


def test_channels_stand_in_the_order_of_the_cameras() -> None:
    clip = PairedClip(pictures(1) + 255, EVENTS)
    both = PairedReader(3, 2, 3)([clip, clip])
    turned = PairedReader(3, 2, 3, inputs=("events", "rgb"))([clip, clip])
    assert both.shape == (3, 2, 5, 3, 2) and both.dtype == torch.float32
    assert torch.equal(both, torch.cat([turned[:, :, 2:], turned[:, :, :2]], 2))
    # three equal parts of the 30 microseconds from the first event to the last
    assert both[:, 0, 3:].sum((2, 3)).tolist() == [[0, 1], [0, 1], [1, 0]]
    window = PairedReader(3, 2, 3, window=11, levels=1)([clip])
    assert window[:, 0, 3:].sum((2, 3)).tolist() == [[0, 2], [0, 0], [1, 0]]


def test_pictures_of_events_are_read_as_pictures() -> None:
    clip = PairedClip(pictures(2), pictures(2) + 7)
    x = PairedReader(2, 4, 6, event_channels=3)([clip])
    assert x.shape == (2, 1, 6, 6, 4)
    assert (x[:, 0, 3, 0, 0] * 255).round().tolist() == [7, 8]


def test_a_record_gives_the_reader_back() -> None:
    reader = PairedReader(3, 2, 3, inputs=("events",), window=11)
    assert PairedReader.of_record(reader.record) == reader
    for wrong in ({"kind": "frames"}, {**reader.record, "widht": 3}):
        with pytest.raises(ConfigError, match=r"one of PairedReader\(\.\.\.\)\.record is taken"):
            PairedReader.of_record(wrong)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inputs": ()}, "one or both of rgb, events"),
        ({"inputs": ("rgb", "rgb")}, "each once"),
        ({"inputs": ("depth",)}, "one or both"),
        ({"event_channels": 1}, "event_channels=1; it takes 2 for events"),
        ({"levels": 256}, "levels=256"),
    ],
)
def test_readers_that_cannot_be_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PairedReader(1, 4, 4, **settings)


def test_clips_that_lack_what_is_read_are_named() -> None:
    with pytest.raises(DataError, match="clips with pictures of events where events are taken"):
        PairedReader(1, 4, 6)([PairedClip(pictures(1), pictures(1))])
    with pytest.raises(DataError, match="clips with events where pictures of events are taken"):
        PairedReader(1, 4, 6, event_channels=3)([PairedClip(pictures(1), EVENTS)])
    with pytest.raises(DataError, match="Clip 0 of a batch has no pictures"):
        PairedReader(1, 4, 6)([PairedClip(pictures(0), EVENTS)])


# HARDVS 2.0


def make_hardvs2(root: Path, *, frames: str = "rawframes", lists: str = "HarDvs300_list") -> None:
    for split, numbers in (("train", (1, 300)), ("test", (2,))):
        lines = []
        for number in numbers:
            name = f"dvSave-2021_10_15_19_18_{number % 60:02}"
            folder = root / frames / f"action_{number:03}" / name
            for camera, level in (("aps", number % 256), ("dvs", 200)):
                inside = folder / f"{name}_{camera}"
                inside.mkdir(parents=True)
                for k in range(3):
                    Image.new("RGB", (346, 260), (level, k, 0)).save(inside / f"{k:08}.png")
            # one picture more than there are pictures of events
            Image.new("RGB", (346, 260)).save(folder / f"{name}_aps" / "00000003.png")
            lines.append(f"action_{number:03}/{name} 3 {number - 1}\n")
        (root / lists).mkdir(exist_ok=True, parents=True)
        (root / lists / f"{split}_label.txt").write_text("".join(lines) + "\n")


@pytest.mark.parametrize(("frames", "lists"), [("rawframes", "HarDvs300_list"), (".", ".")])
def test_hardvs2_is_read_as_published(tmp_path: Path, frames: str, lists: str) -> None:
    make_hardvs2(tmp_path, frames=frames, lists=lists)
    found, test = data.HARDVS2(tmp_path), load_paired(f"hardvs2:{tmp_path}", "test")
    assert found.labels.tolist() == [0, 299] and test.labels.tolist() == [1]
    assert (found.width, found.height, found.event_channels) == (346, 260, 3)
    assert len(found.class_names) == 300 and found.class_names[299] == "action_300"
    clip = found[1]
    assert len(clip.rgb) == len(clip.events) == 3
    which = torch.tensor([2, 0])
    assert clip.rgb[which].shape == (2, 3, 260, 346)
    assert clip.rgb[which][:, :, 0, 0].tolist() == [[44, 2, 0], [44, 0, 0]]
    assert clip.events[which][:, :, 9, 9].tolist() == [[200, 2, 0], [200, 0, 0]]
    x = PairedReader(4, 32, 24, event_channels=3)([found[0], clip])
    assert x.shape == (4, 2, 6, 24, 32)


def test_names_of_its_classes_are_read_where_they_are(tmp_path: Path) -> None:
    make_hardvs2(tmp_path)
    lines = [f"Action{number:03}-thing {number}\n" for number in range(1, 301)]
    (tmp_path / "HARDVS_300_class.txt").write_text("".join(lines))
    assert data.HARDVS2(tmp_path, "test").class_names[1] == "thing 2"


def test_what_is_missing_is_answered_with_the_tree_and_the_page(tmp_path: Path) -> None:
    expected = r"HARDVS 2\.0 is taken as it is published:\n    HarDvs300_list/.*_dvs/.*Download it from https://github\.com"
    with pytest.raises(DataError, match=re.compile(rf"does not exist; {expected}", re.DOTALL)):
        data.HARDVS2(tmp_path / "none")
    with pytest.raises(
        DataError, match=re.compile(rf"has no HarDvs300_list/train_label.*{expected}", re.DOTALL)
    ):
        data.HARDVS2(tmp_path)
    make_hardvs2(tmp_path)
    with pytest.raises(DataError, match=r"has no split 'val'; it has train, test"):
        data.HARDVS2(tmp_path, "val")
    lists = tmp_path / "HarDvs300_list"
    (lists / "train_label.txt").write_text("action_001/dvSave-2021_10_15_19_18_44 3 0\n")
    with pytest.raises(DataError, match="has no action_001/dvSave-2021_10_15_19_18_44"):
        data.HARDVS2(tmp_path)
    (lists / "train_label.txt").write_text("action_301/dvSave-2021_10_15_19_18_01 3 0\n")
    with pytest.raises(DataError, match=r"names 'action_301/.*action_300/\.\.\. are taken"):
        data.HARDVS2(tmp_path)
    folder = tmp_path / "rawframes" / "action_002" / "dvSave-2021_10_15_19_18_02"
    for path in (folder / f"{folder.name}_dvs").iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    with pytest.raises(DataError, match="4 pictures and 3 pictures of events, and no two of one name"):
        data.HARDVS2(tmp_path, "test")[0]
