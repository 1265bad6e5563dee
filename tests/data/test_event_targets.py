"""Published recordings with boxes, and with optical flow: small folders of the same layout."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from data import event_encoders
from spikedrive.data.events.datasets import dsec, gen1
from spikedrive.errors import DataError, MissingExtraError

h5py = pytest.importorskip("h5py")


def make_gen1(root: Path, names: tuple[str, str] = ("ts", "confidence")) -> None:
    renamed = {"t": names[0], "confidence": names[1]}
    there = np.dtype([(renamed.get(name, name), gen1.BOX[name]) for name in gen1.BOX.names or ()])
    boxes = [(9000, 1, 2, 30, 40, 1, 1, 5), (5000, 0, 0, 50, 60, 0, 1, 4), (5000, 300, 200, 20, 60, 0, 1, 6)]
    for split in ("train", "val", "test"):
        name = root / split / "17-03-30_12-53-58_0_60"
        rows = [(100 * k, k % 304, k % 240, k % 2) for k in range(100)]
        header = b"% Data file containing CD events.\n% Version 2\n% Date 2017-03-30\n"
        event_encoders.write_dat(Path(f"{name}_td.dat"), rows, header)
        np.save(f"{name}_bbox.npy", np.array(boxes, there))


@pytest.mark.parametrize("names", [("ts", "confidence"), ("t", "class_confidence")])
def test_boxes_and_the_events_in_front_of_them(tmp_path: Path, names: tuple[str, str]) -> None:
    make_gen1(tmp_path, names)
    (drive,) = gen1.load_gen1(tmp_path, "val")
    assert (drive.width, drive.height) == (304, 240)
    assert drive.times.tolist() == [5000, 9000]
    assert drive.boxes_at(5000)["track_id"].tolist() == [4, 6]
    events = drive.before(5000, 450)
    assert events.array["t"].tolist() == [50, 150, 250, 350] and events.array["x"].tolist() == [
        46,
        47,
        48,
        49,
    ]
    assert len(drive.before(50, 100)) == 1


def test_usual_boxes_are_cut_and_not_small() -> None:
    boxes = np.array(
        [
            (400_000, 0, 0, 90, 90, 0, 1, 1),
            (600_000, -10, 230, 60, 30, 0, 1, 2),
            (600_000, 0, 0, 20, 20, 0, 1, 3),
            (600_000, 310, 0, 40, 40, 0, 1, 4),
        ],
        gen1.BOX,
    )
    kept = gen1.usual_boxes(boxes)
    assert [tuple(map(float, b))[:5] for b in kept] == [(600_000, 0, 230, 50, 10)]
    assert boxes["x"][1] == -10


def test_gen1_that_is_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"has no val; Gen1 Automotive is taken as it is published(.|\n)*prophesee"
    ):
        gen1.load_gen1(tmp_path, "val")
    make_gen1(tmp_path)
    (path,) = (tmp_path / "val").glob("*.npy")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"cannot be read as \.npy"):
        gen1.load_gen1(tmp_path, "val")
    np.save(path, np.zeros((2, 8)))
    with pytest.raises(DataError, match=r"has fields none and shape \(2, 8\); a structured array"):
        gen1.load_gen1(tmp_path, "val")
    path.unlink()
    with pytest.raises(DataError, match="has no 17-03-30_12-53-58_0_60_bbox"):
        gen1.load_gen1(tmp_path, "val")


OFFSET = 51_649_180_103


def make_dsec(root: Path, *, together: bool = False) -> np.ndarray:
    """Two maps of flow, and events each 350 us; the rectified sensor is shifted by (2, 1)."""
    events = root / ("train" if together else "train_events") / "thun_00_a" / "events" / "left"
    flow = root / ("train" if together else "train_optical_flow") / "thun_00_a" / "flow"
    t = np.arange(0, 200_000, 350)
    x, y = t // 350 % dsec.WIDTH, t // 350 % dsec.HEIGHT
    with h5py.File(event_encoders.make(events / "events.h5"), "w") as file:
        for name, column, kind in (("t", t, "u4"), ("x", x, "u2"), ("y", y, "u2"), ("p", x % 2, "u1")):
            file.create_dataset(f"events/{name}", data=column.astype(kind), compression="gzip")
        file["t_offset"] = np.int64(OFFSET)
        file["ms_to_idx"] = np.searchsorted(t, np.arange(0, 200) * 1000).astype(np.uint64)
    columns, lines = np.meshgrid(np.arange(dsec.WIDTH), np.arange(dsec.HEIGHT))
    with h5py.File(events / "rectify_map.h5", "w") as file:
        file["rectify_map"] = np.stack([columns + 2.2, lines + 0.9], -1).astype(np.float32)
    picture = np.zeros((2, 3, 3), np.uint16)
    picture[0, 1] = [(1 << 15) + 64, (1 << 15) - 256, 1]
    picture[1, 2] = [5, 6, 0]
    for number in (2, 4):
        path = event_encoders.make(flow / "forward" / f"{number:06}.png")
        path.write_bytes(event_encoders.png16(picture, [0, 4]))
    rows = [(OFFSET + 10_500, OFFSET + 12_600), (OFFSET + 150_000, OFFSET + 260_000)]
    (flow / "forward_timestamps.txt").write_text(
        "# from_timestamp_us, to_timestamp_us\n" + "".join(f"{a}, {b}\n" for a, b in rows)
    )
    return t


@pytest.mark.parametrize("together", [False, True])
def test_flow_and_the_events_between_its_times(tmp_path: Path, together: bool) -> None:
    t = make_dsec(tmp_path, together=together)
    (drive,) = dsec.load_dsec(tmp_path, rectify=False)
    assert (drive.name, len(drive)) == ("thun_00_a", 2)
    sample = drive[0]
    assert sample.events.array["t"].tolist() == [0, 350, 700, 1050, 1400, 1750]
    assert sample.events.array["x"].tolist() == [30, 31, 32, 33, 34, 35]
    assert sample.valid.tolist() == [[False, True, False], [False] * 3]
    assert sample.flow[:, 0, 1].tolist() == [0.5, -2.0]
    assert sample.flow.abs().sum() == 2.5
    # the last window goes beyond the end of the recording
    last = drive[1].events.array["t"] + 150_000
    assert last.tolist() == t[t >= 150_000].tolist()


def test_events_are_put_where_the_flow_is(tmp_path: Path) -> None:
    make_dsec(tmp_path)
    (drive,) = dsec.load_dsec(tmp_path)
    events = drive[0].events
    assert events.array["x"].tolist() == [32, 33, 34, 35, 36, 37]
    assert events.array["y"].tolist() == [31, 32, 33, 34, 35, 36]
    # the last of 480 rows falls off, and one event was there
    whole = drive.events_between(OFFSET, OFFSET + 200_000).array
    assert len(whole) == 572 - 1


@pytest.mark.parametrize("line", ["5, 5", "9, 4", "a, b", "1, 2, 3"])
def test_times_of_flow_that_are_none(line: str, tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_text(f"# from, to\n1, 2\n{line}\n")
    with pytest.raises(DataError, match=r"Line 3 of .*two times in microseconds, the second later"):
        dsec.read_times(tmp_path / "some.txt")


def test_dsec_that_is_missing_or_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        DataError, match=r"has no train_optical_flow and no train; DSEC is taken(.|\n)*dsec\.ifi"
    ):
        dsec.load_dsec(tmp_path)
    make_dsec(tmp_path)
    with pytest.raises(DataError, match="DSEC has no split 'test'; it has train"):
        dsec.load_dsec(tmp_path, "test")
    (drive,) = dsec.load_dsec(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(h5py.h5z, "filter_avail", lambda code: False)
        patched.setitem(sys.modules, "hdf5plugin", None)
        with pytest.raises(MissingExtraError, match="pip install hdf5plugin"):
            drive[0]
    path = drive.events_file
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    with pytest.raises(DataError, match="cannot be read as HDF5"):
        drive[0]
    with h5py.File(path, "w") as file:
        file["events/t"] = [1]
    with pytest.raises(DataError, match="has no ms_to_idx, t_offset beside events"):
        drive[0]
    flow = tmp_path / "train_optical_flow" / "thun_00_a" / "flow"
    (flow / "forward" / "000004.png").unlink()
    with pytest.raises(DataError, match="has 1 pictures of flow and 2 lines of times"):
        dsec.load_dsec(tmp_path)
