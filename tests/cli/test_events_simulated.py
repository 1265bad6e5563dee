"""`spikedrive events simulate` and `show`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.conftest import Command
from spikedrive.data.events import open_recording
from spikedrive.data.events.simulated import EventCamera
from spikedrive.live.drawing import COLOURS


def moving_square(frames: int = 4) -> np.ndarray:
    film = np.zeros((frames, 10, 12), np.uint8)
    for t in range(frames):
        film[t, 3:6, 2 * t : 2 * t + 3] = 200
    return film


def test_an_array_and_a_folder_of_its_frames_give_the_cameras_events(
    command: Command, tmp_path: Path
) -> None:
    film = moving_square()
    np.save(tmp_path / "film.npy", film)
    (tmp_path / "frames").mkdir()
    for i, frame in enumerate(film):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{i}.png")
    wanted = EventCamera(12, 10, positive=0.3, negative=0.3).see(film, 1e4 * np.arange(4)).array
    assert len(wanted)
    for name in ("film.npy", "frames"):
        out = tmp_path / f"{name}.npz"
        answer = command(
            "events", "simulate", tmp_path / name, out, "--fps", 100, "--contrast", 0.3, "--json"
        )
        found = json.loads(answer.out)
        assert (found["frames"], found["width"], found["height"], found["events"]) == (4, 12, 10, len(wanted))
        assert np.array_equal(open_recording(out).read().array, wanted)


def test_a_gaze_over_one_picture_is_the_same_for_a_seed(command: Command, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 24), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    found = {}
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        out = tmp_path / f"{name}.npz"
        noise = ("--shot", 5, "--mismatch", 0.1, "--seed", seed)
        assert command("events", "simulate", tmp_path / "a.png", out, *noise).code == 0
        found[name] = open_recording(out).read()
    assert (found["one"].width, found["one"].height) == (18, 14)
    assert np.array_equal(found["one"].array, found["again"].array)
    assert not np.array_equal(found["one"].array, found["other"].array)
    assert 200_000 < found["one"].array["t"][-1] <= 300_000


def test_what_is_no_film_is_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "few" / "a.png")
    (tmp_path / "mixed").mkdir()
    for i in (4, 5):
        Image.fromarray(np.zeros((i, 4), np.uint8)).save(tmp_path / "mixed" / f"{i}.png")
    np.save(tmp_path / "flat.npy", np.zeros((4, 4)))
    np.save(tmp_path / "bright.npy", np.full((2, 4, 4), 7.0))
    (tmp_path / "broken.npy").write_bytes(b"no array")
    Image.fromarray(np.zeros((6, 6), np.uint8)).save(tmp_path / "small.png")
    there = tmp_path / "there.npz"
    for name, message in {
        "few": "has 1 pictures", "mixed": "frames of one size are taken", "flat.npy": r"an array of shape (4, 4)",
        "bright.npy": "it takes 0 to 1, or uint8", "broken.npy": "cannot be read", "none.png": "is no film",
        "small.png": "leaves nothing within a border of 3 pixels",
    }.items():  # fmt: skip
        answer = command("events", "simulate", tmp_path / name, there)
        assert answer.code == 2 and message in answer.err and not there.exists()
    assert "fps=0.0" in command("events", "simulate", tmp_path / "flat.npy", there, "--fps", 0).err
    there.write_bytes(b"precious")
    answer = command("events", "simulate", tmp_path / "few", there)
    assert answer.code == 2 and "is there already" in answer.err and there.read_bytes() == b"precious"


@pytest.fixture
def square(command: Command, tmp_path: Path) -> Path:
    np.save(tmp_path / "film.npy", moving_square())
    assert command("events", "simulate", tmp_path / "film.npy", tmp_path / "square.npz").code == 0
    return tmp_path / "square.npz"


def test_slices_are_drawn_where_events_fell(command: Command, square: Path, tmp_path: Path) -> None:
    answer = command(
        "events", "show", square, "--out", tmp_path / "a.png", "--window", 40_000, "--slices", 2, "--json"
    )
    assert json.loads(answer.out)["slices"] == 2
    drawn = np.asarray(Image.open(tmp_path / "a.png"))
    events = open_recording(square).read().array
    first = events[events["t"] < events["t"][0] + 40_000]
    times = 160 // 12
    seen = np.zeros((10, 12), np.uint8)
    np.bitwise_or.at(seen, (first["y"], first["x"]), 1 + first["p"])
    # one pixel of a sensor is a square of many; slices lie behind a border
    assert np.array_equal(drawn[2 : 2 + 10 * times : times, 2 : 2 + 12 * times : times], COLOURS[seen])
    assert command("events", "show", square, "--out", tmp_path / "a.gif", "--slices", 3).code == 0
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames >= 2  # type: ignore[attr-defined]
    answer = command("events", "show", square, "--out", tmp_path / "a.jpg")
    assert answer.code == 2 and "neither .png nor .gif" in answer.err
