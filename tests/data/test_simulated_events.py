"""A simulated camera sends what its pictures' changes say; its sets are made once and found again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikedrive.data import load_images
from spikedrive.data.events import Events, load_events
from spikedrive.data.events.simulated import (
    MOTIONS,
    EventCamera,
    moving_fashion,
    render,
    saccades,
    saccades_fashion,
)
from spikedrive.data.events.simulated.sets import moved
from spikedrive.errors import ConfigError, DataError, ShapeError, ValueRangeError

DARK = 0.02


def log(light: np.ndarray | float) -> np.ndarray:
    return np.log(DARK + (1 - DARK) * np.asarray(light, np.float64))


@given(
    levels=st.lists(st.floats(0, 1), min_size=2, max_size=6),
    positive=st.floats(0.05, 0.5),
    negative=st.floats(0.05, 0.5),
)
@settings(max_examples=60, deadline=None)
def test_a_pixel_sends_one_event_a_crossing(levels: list[float], positive: float, negative: float) -> None:
    """Against the definition, one crossing at a time."""
    reference, wanted = float(log(levels[0])), []
    for k, (before, after) in enumerate(zip(log(levels)[:-1], log(levels)[1:], strict=True)):
        step, polarity = (positive, 1) if after > before else (-negative, 0)
        while abs(after - before) > 0 and (after - reference) / step >= 1 - 1e-9:
            reference += step
            share = min(max((reference - before) / (after - before), 0.0), 1.0)
            wanted.append((1000 * k + share * 1000, polarity))
    camera = EventCamera(1, 1, positive=positive, negative=negative, dark=DARK)
    pictures = np.array(levels)[:, None, None]
    found = camera.see(pictures, 1000 * np.arange(len(levels))).array
    assert found["p"].tolist() == [polarity for _, polarity in wanted]
    assert np.abs(found["t"] - np.array([time for time, _ in wanted], float)).max(initial=0) <= 1


def test_a_ramp_gives_its_logarithm_over_the_threshold() -> None:
    light = np.random.default_rng(0).random((3, 5))
    camera = EventCamera(5, 3, positive=0.3, negative=0.2)
    events = camera.see(np.stack([light, np.ones((3, 5)), light]), [0, 1000, 3000])
    up = np.floor((log(1.0) - log(light)) / 0.3 + 1e-9)
    assert (np.diff(events.array["t"]) >= 0).all()
    for y, x in np.ndindex(3, 5):
        own = events.array[(events.array["x"] == x) & (events.array["y"] == y)]
        assert (own["p"] == 1).sum() == up[y, x]
        assert (own["t"][own["p"] == 1] <= 1000).all() and (own["t"][own["p"] == 0] >= 1000).all()


@pytest.fixture
def pictures() -> np.ndarray:
    source = np.random.default_rng(1)
    return (np.cumsum(source.random((20, 9, 7)) - 0.5, 0) * 0.2 + 0.5).clip(0, 1)


NOISE = {"mismatch": 0.1, "leak": 5.0, "shot": 20.0, "refractory": 700, "bandwidth": 100.0, "seed": 3}


@pytest.mark.parametrize("cuts", [(5,), (1, 2, 19), (10, 11)])
def test_several_calls_see_what_one_sees(pictures: np.ndarray, cuts: tuple[int, ...]) -> None:
    times = np.arange(20) * 3000
    whole = EventCamera(7, 9, **NOISE).see(pictures, times)
    camera = EventCamera(7, 9, **NOISE)
    parts = [camera.see(*pair) for pair in zip(np.split(pictures, cuts), np.split(times, cuts), strict=True)]
    np.testing.assert_array_equal(Events.joined(parts).array, whole.array)
    streamed = list(EventCamera(7, 9, **NOISE).stream(zip(pictures, times, strict=True)))
    np.testing.assert_array_equal(Events.joined(streamed).array, whole.array)
    other = EventCamera(7, 9, **{**NOISE, "seed": 4}).see(pictures, times)
    assert len(whole) > 300 and not np.array_equal(other.array, whole.array)


def test_bytes_are_shares_of_255(pictures: np.ndarray) -> None:
    byte = (pictures * 255).round().astype(np.uint8)
    times = np.arange(20) * 3000
    one, other = (EventCamera(7, 9).see(each, times).array for each in (byte, byte / 255))
    np.testing.assert_array_equal(one, other)


def test_a_pixel_rests_after_an_event(pictures: np.ndarray) -> None:
    times = np.arange(20) * 3000
    free = EventCamera(7, 9, shot=50, seed=1).see(pictures, times).array
    rested = EventCamera(7, 9, shot=50, seed=1, refractory=2000).see(pictures, times).array
    gaps = []
    for y, x in np.ndindex(9, 7):
        own, all_of = (each["t"][(each["x"] == x) & (each["y"] == y)] for each in (rested, free))
        gaps += np.diff(own).tolist()
        # one after the other, by the definition
        kept, last = [], -(10**9)
        for t in all_of:
            if t - last >= 2000:
                kept.append(t)
                last = t
        assert own.tolist() == kept
    assert min(gaps) >= 2000 and len(rested) < len(free)


def test_without_change_there_is_noise_alone() -> None:
    still = np.full((11, 40, 50), 0.4)
    times = np.linspace(0, 1e6, 11)
    assert len(EventCamera(50, 40).see(still, times)) == 0
    # 2,000 pixels for a second at 10 a second: 20,000, with a deviation of 141
    noisy = EventCamera(50, 40, shot=10, seed=2).see(still, times).array
    assert abs(len(noisy) - 20_000) < 600 and abs(int(noisy["p"].sum()) - 10_000) < 400
    # a leak is regular and brighter, each pixel's at a phase of its own: 3.5 events are 3 or 4
    leaking = EventCamera(50, 40, leak=3.5, mismatch=0.1).see(still, times).array
    counts = np.zeros((40, 50))
    np.add.at(counts, (leaking["y"], leaking["x"]), 1)
    assert set(counts.ravel()) == {3, 4} and abs(len(leaking) - 7000) < 4 * 22 and leaking["p"].all()
    assert len(np.unique(leaking["t"])) > 6000
    counts = np.zeros((40, 50))
    changed = np.concatenate([still, np.full((1, 40, 50), 0.9)])
    mixed = EventCamera(50, 40, mismatch=0.3, seed=5).see(changed, np.append(times, 2e6)).array
    np.add.at(counts, (mixed["y"], mixed["x"]), 1)
    assert counts.std() > 0.5 and abs(counts.mean() - float(log(0.9) - log(0.4)) / 0.2) < 1


def test_a_low_pass_follows_at_its_pace() -> None:
    # a step of 1 in the logarithm, seen for a time constant: 1 - 1 / e of it has come
    hertz = 1e6 / (2 * np.pi * 10_000)
    step = np.exp(np.array([0.0, 1.0, 1.0]) - 1)[:, None, None]
    camera = EventCamera(1, 1, positive=0.01, dark=1e-9, bandwidth=hertz)
    counts = [len(camera.see(step[k : k + 1], [10_000 * k])) for k in range(3)]
    assert counts == [0, 63, int(100 * (1 - np.exp(-2))) - 63]
    pictures, times = np.random.default_rng(0).random((9, 4, 4)), np.arange(9) * 1000
    fast = EventCamera(4, 4, bandwidth=1e7).see(pictures, times).array
    np.testing.assert_array_equal(fast, EventCamera(4, 4).see(pictures, times).array)
    with pytest.raises(ConfigError, match="EventCamera got bandwidth=0"):
        EventCamera(4, 4, bandwidth=0)


def test_a_seed_gives_these_events() -> None:
    """Changes when any number that is drawn or computed does: then `shards.VERSION` counts up."""
    pictures = np.random.default_rng(0).integers(0, 256, (9, 12, 10)).astype(np.uint8)
    found = EventCamera(10, 12, **NOISE).see(pictures, np.arange(9) * 2500).array
    assert hashlib.sha256(found.tobytes()).hexdigest()[:16] == "860fe7cb2b5bf0c8"


def test_what_no_camera_takes_is_refused(pictures: np.ndarray) -> None:
    for wrong in (
        {"positive": 0},
        {"negative": -1},
        {"dark": 1},
        {"shot": -1},
        {"width": 0},
        {"leak": float("nan")},
    ):
        with pytest.raises(ConfigError, match=f"EventCamera got {next(iter(wrong))}="):
            EventCamera(**{"width": 7, "height": 9, **wrong})
    camera = EventCamera(7, 9)
    with pytest.raises(ShapeError, match=r"pictures of shape \(20, 9, 7\) and times of shape \(3,\)"):
        camera.see(pictures, np.arange(3))
    with pytest.raises(ValueRangeError, match=r"values from .* to 2"):
        camera.see(pictures * 0 + 2, np.arange(20))
    camera.see(pictures[:2], [0, 5])
    with pytest.raises(ValueRangeError, match="a picture at 5 us after one at 5 us"):
        camera.see(pictures[2:3], [5])


def test_the_path_of_saccades() -> None:
    shifts, times = saccades(((0, 0), (4, 2), (0, 0)), duration=1000, frames=5)
    assert shifts.tolist() == [[0, 0], [2, 1], [4, 2], [2, 1], [0, 0]]
    assert times.tolist() == [0, 250, 500, 750, 1000]
    with pytest.raises(ConfigError, match="saccades got 1 corners"):
        saccades(((0, 0),))


def test_a_scene_moves_turns_and_grows() -> None:
    picture = torch.rand(1, 6, 6)
    still = render(picture, size=(10, 12), shift=torch.zeros(1, 1, 2))[0, 0]
    assert torch.allclose(still[2:8, 3:9], picture[0], atol=1e-5) and float(still.sum()) == pytest.approx(
        float(picture.sum()), rel=1e-4
    )
    moved_right = render(picture, size=(10, 12), shift=torch.tensor([[[2.0, -1.0]]]))[0, 0]
    assert torch.allclose(moved_right, still.roll((-1, 2), (0, 1)), atol=1e-5)
    square = render(picture, size=(10, 10), shift=torch.zeros(1, 1, 2))[0, 0]
    quarter = torch.full((1, 1), torch.pi / 2)
    turned = render(picture, size=(10, 10), shift=torch.zeros(1, 1, 2), angle=quarter)[0, 0]
    # clockwise: what was on top is on the right
    assert torch.allclose(turned, square.rot90(-1), atol=1e-4)
    large = render(
        torch.ones(1, 6, 6), size=(20, 20), shift=torch.zeros(1, 1, 2), scale=torch.full((1, 1), 2.0)
    )
    assert float(large.sum()) == pytest.approx(144, rel=0.02)
    with pytest.raises(ShapeError, match="render got pictures"):
        render(picture, size=(10, 10), shift=torch.zeros(1, 2, 2))


def test_the_middle_tells_no_motion_and_opposite_ones_are_each_other_reversed() -> None:
    picture = load_images("fashion_mnist_mini", "test").images[:1, 0].float() / 255
    clips = [moved(picture, [k], 32, 9, torch.Generator().manual_seed(5))[:, 0] for k in range(len(MOTIONS))]
    for clip in clips[1:]:
        assert torch.equal(clip[4], clips[0][4])
    for k in range(0, len(MOTIONS), 2):
        # the opposite motion is the same one back
        assert torch.allclose(clips[k], clips[k + 1].flip(0), atol=1e-4)
        assert float((clips[k][0] - clips[k][-1]).abs().max()) > 0.1


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPIKEDRIVE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_set_is_made_once_and_mended_where_it_is_damaged(cache: Path) -> None:
    made = moving_fashion("train", clips=16, size=32)
    (index,) = cache.glob("events/*/index.json")
    written = index.stat().st_mtime_ns
    again = moving_fashion("train", clips=16, size=32)
    assert index.stat().st_mtime_ns == written
    for i in range(16):
        np.testing.assert_array_equal(made[i].array, again[i].array)
    copies = [made[i].array.copy() for i in range(16)]
    file = index.with_name("0000.npy")
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.unlink()
    file.write_bytes(damaged)
    mended = moving_fashion("train", clips=16, size=32)
    for i, copy in enumerate(copies):
        np.testing.assert_array_equal(mended[i].array, copy)
    assert len(list(cache.glob("events/*"))) == 1
    moving_fashion("train", clips=16, size=32, seed=1)
    assert len(list(cache.glob("events/*"))) == 2


def test_sets_are_balanced_and_their_splits_apart(cache: Path) -> None:
    train, test = (moving_fashion(split, clips=40, size=32) for split in ("train", "test"))
    assert torch.bincount(train.labels, minlength=8).tolist() == [5] * 8
    assert train.class_names == MOTIONS and (train.width, train.height) == (32, 32)
    for part in (train, test):
        for i in range(len(part)):
            clip = part[i].array
            assert len(clip) > 100 and clip["t"][0] >= 0 and clip["t"][-1] <= 320_000
            assert (np.diff(clip["t"]) >= 0).all() and clip["x"].max() < 32 and clip["y"].max() < 32
    seen = {hashlib.sha256(train[i].array.tobytes()).hexdigest() for i in range(40)}
    assert not seen & {hashlib.sha256(test[i].array.tobytes()).hexdigest() for i in range(40)}


def test_saccades_show_the_picture_with_its_label(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = saccades_fashion("fashion_mnist_mini", "test", clips=6)
    images = load_images("fashion_mnist_mini", "test")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:6]
    assert clips.labels.tolist() == images.labels[order].tolist() and clips.class_names == images.class_names
    for i, index in enumerate(order.tolist()):
        counts = np.zeros((34, 34))
        np.add.at(counts, (clips[i].array["y"], clips[i].array["x"]), 1)
        bright = torch.from_numpy(np.pad((images.images[index, 0].numpy() > 10).astype(np.float32), 3))
        # the path goes 3 pixels to each side; events of another picture would lie elsewhere
        near = torch.nn.functional.max_pool2d(bright[None], 9, 1, 4)[0].numpy() > 0
        assert counts[near].sum() == counts.sum() > 1000
    dimmed = images.subset(torch.arange(len(images)))
    dimmed.images[order[0]] //= 2
    monkeypatch.setattr("spikedrive.data.events.simulated.sets.load_images", lambda *_, **__: dimmed)
    assert len(saccades_fashion("fashion_mnist_mini", "test", clips=6)[0]) < len(clips[0]), "not the old ones"
    with pytest.raises(ConfigError, match="takes at least 34 pixels"):
        saccades_fashion("fashion_mnist_mini", "test", size=28)


def test_sets_have_names(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="has no split 'val'; it has train, test"):
        load_events("moving_fashion", "val")
    with pytest.raises(DataError, match="no split 'val'"):
        moving_fashion("val")
    with pytest.raises(ConfigError, match="size=8; it takes at least 32"):
        moving_fashion("train", size=8)
