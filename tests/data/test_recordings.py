"""Recordings of events: every format gives back what was written, and what its own description says."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import aedat
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data import event_files
from spikedrive.data.events import EVENT, FORMATS, Events, check_events, open_recording, write_recording
from spikedrive.errors import DataError, ShapeError

WIDTH, HEIGHT = 40, 30
CAMERAS = {
    ".raw": event_files.read_evt3,
    ".dat": event_files.read_dat,
    ".es": event_files.read_es,
    ".csv": event_files.read_csv,
}


def random_events(count: int, seed: int = 0, start: int = 0, pause: int = 300) -> Events:
    chance = np.random.default_rng(seed)
    array = np.empty(count, EVENT)
    array["t"] = start + np.cumsum(chance.integers(0, pause, count))
    array["x"], array["y"] = chance.integers(0, WIDTH, count), chance.integers(0, HEIGHT, count)
    array["p"] = chance.integers(0, 2, count)
    return Events(array, WIDTH, HEIGHT)


@st.composite
def any_events(draw: st.DrawFn) -> Events:
    one = st.tuples(
        st.integers(0, 1 << 22), st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.booleans()
    )
    rows = draw(st.lists(one, max_size=40))
    start = draw(st.integers(0, 1 << 24))
    pauses, x, y, p = (np.array([row[i] for row in rows], np.int64) for i in range(4))
    return Events.of(start + np.cumsum(pauses), x, y, p, width=WIDTH, height=HEIGHT)


@pytest.mark.parametrize("suffix", FORMATS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=any_events(), most=st.integers(1, 50))
def test_what_is_written_comes_back(tmp_path: Path, suffix: str, events: Events, most: int) -> None:
    path = tmp_path / f"some{suffix}"
    parts = list(events.pieces(most)) or [events]
    assert write_recording(path, parts) == len(events)
    recording = open_recording(path, piece=7)
    assert (recording.width, recording.height) == (WIDTH, HEIGHT)
    for _ in range(2):
        assert np.array_equal(recording.read().array, events.array)
    assert all(0 < len(part) <= 7 for part in recording)
    # one format into another, piece by piece
    other = tmp_path / "other.npz"
    assert write_recording(other, recording) == len(events)
    assert np.array_equal(open_recording(other).read().array, events.array)


@pytest.mark.parametrize("suffix", CAMERAS)
def test_a_file_says_what_its_format_means(tmp_path: Path, suffix: str) -> None:
    events = random_events(5000, start=0)
    write_recording(tmp_path / f"some{suffix}", events)
    found = CAMERAS[suffix](tmp_path / f"some{suffix}")
    if suffix in (".raw", ".dat"):
        found["t"] += events.array["t"][0]
    assert np.array_equal(found, events.array)


def test_aedat_reads_the_same_of_an_aedat4(tmp_path: Path) -> None:
    events = random_events(5000, start=1 << 50)
    write_recording(tmp_path / "some.aedat4", events)
    packets = [packet["events"] for packet in aedat.Decoder(tmp_path / "some.aedat4") if "events" in packet]
    found = np.concatenate(packets)
    for ours, theirs in (("t", "t"), ("x", "x"), ("y", "y"), ("p", "on")):
        assert np.array_equal(events.array[ours], found[theirs])


def test_a_recording_plays_in_constant_memory(tmp_path: Path) -> None:
    def parts() -> Iterator[Events]:
        for i in range(60):
            yield random_events(20_000, seed=i, start=i * 20_000 * 300)

    peaks = {}
    for suffix in (".npz", ".h5", ".dat"):
        path = tmp_path / f"long{suffix}"
        tracemalloc.start()
        assert write_recording(path, parts()) == 1_200_000
        assert sum(len(part) for part in open_recording(path, piece=20_000)) == 1_200_000
        peaks[suffix] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # whole they are 16 MB; a piece is a quarter of a megabyte
    assert all(peak < 6e6 for peak in peaks.values()), peaks


def test_events_outside_and_back_in_time_are_refused_or_counted(tmp_path: Path) -> None:
    good = random_events(1000, start=5000)
    array = np.array(good.array, dtype=[("t", "i8"), ("x", "i4"), ("y", "i4"), ("p", "i1")])
    array["x"][10], array["y"][500], array["t"][[200, 901]] = WIDTH, 70, 3
    np.savez(
        tmp_path / "bad.npz", size=[WIDTH, HEIGHT], **{name: array[name] for name in ("t", "x", "y", "p")}
    )
    with pytest.raises(
        DataError, match=r"Event 10 is at x = 40, y = .*, and 2 in all are outside a sensor of 40 x 30"
    ):
        open_recording(tmp_path / "bad.npz").read()
    array["x"][10], array["y"][500] = 0, 0
    with pytest.raises(DataError, match=r"Event 200 is at t = 3, earlier than .* 2 in all; .*repair=True"):
        check_events(array, width=WIDTH, height=HEIGHT)
    kept = np.delete(good.array, [10, 200, 500, 901])
    for piece in (1000, 64, 7):
        recording = open_recording(tmp_path / "bad.npz", repair=True, piece=piece)
        for _ in range(2):
            assert np.array_equal(recording.read().array, kept)
            assert str(recording.repairs) == (
                "2 events outside the sensor, 2 earlier than one before them: dropped"
            )
            assert recording.repairs is not None and recording.repairs.count == 4


def test_time_that_goes_back_between_pieces_is_noticed(tmp_path: Path) -> None:
    array = random_events(100, start=5000).array
    array["t"][50:] -= 4000
    np.savez(
        tmp_path / "bad.npz", size=[WIDTH, HEIGHT], **{name: array[name] for name in ("t", "x", "y", "p")}
    )
    with pytest.raises(DataError, match=r"bad\.npz goes back in time, from \d+ to \d+"):
        open_recording(tmp_path / "bad.npz", piece=50).read()


@pytest.mark.parametrize("suffix", FORMATS)
def test_times_before_zero_are_kept_or_refused(tmp_path: Path, suffix: str) -> None:
    events = random_events(50, start=-3000)
    assert events.array["t"][0] < 0 < events.array["t"][-1]
    path = tmp_path / f"some{suffix}"
    if suffix in (".npz", ".h5", ".hdf5"):
        write_recording(path, events)
        assert np.array_equal(open_recording(path).read().array, events.array)
        return
    kept = random_events(5)
    write_recording(path, kept)
    before = path.read_bytes()
    # the second piece is the first one with events
    for parts in ([events], [events[:0], events]):
        with pytest.raises(DataError, match=rf"starts at -\d+ us; \{suffix} takes times from 0 on"):
            write_recording(path, parts)
        assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


# an .es file has no count, and faery leaves a last event out that was cut: nothing says so
@pytest.mark.parametrize("suffix", [suffix for suffix in FORMATS if suffix != ".es"])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    write_recording(path, random_events(3000))
    data = path.read_bytes()
    # in the middle of a record, of a line, of a block
    cut = {".csv": data.rindex(b","), ".raw": len(data) - 1, ".dat": len(data) - 1}.get(
        suffix, len(data) * 2 // 3
    )
    path.write_bytes(data[:cut])
    with pytest.raises(DataError, match=r"cut\.\w+ (cannot be read as|ends in the middle of)"):
        open_recording(path).read()


@pytest.mark.parametrize("suffix", FORMATS)
def test_other_files_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"other{suffix}"
    path.write_bytes(b"something else\n" * 100)
    with pytest.raises(DataError, match=r"other\.\w+ (cannot be read as|begins with|does not begin with)"):
        open_recording(path, size=(WIDTH, HEIGHT)).read()
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"other\.\w+ is empty; a recording has at least a header"):
        open_recording(path, size=(WIDTH, HEIGHT))


def test_the_size_is_asked_for_and_compared(tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text("t,x,y,p\n5,1,2,1\n6,3,0,0\n")
    with pytest.raises(DataError, match=r"some\.csv does not say how large its sensor is.*size=\(640, 480\)"):
        open_recording(tmp_path / "some.csv")
    assert open_recording(tmp_path / "some.csv", size=(4, 3)).read().array.tolist() == [
        (5, 1, 2, 1),
        (6, 3, 0, 0),
    ]
    with pytest.raises(DataError, match="outside a sensor of 3 x 3"):
        open_recording(tmp_path / "some.csv", size=(3, 3)).read()
    for suffix in FORMATS:
        write_recording(tmp_path / f"sized{suffix}", random_events(10))
        with pytest.raises(
            DataError, match=rf"sized\{suffix} says that its sensor is 40 x 30, and size=\(4, 3\) came"
        ):
            open_recording(tmp_path / f"sized{suffix}", size=(4, 3))


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "some.raw"
    write_recording(path, random_events(10))
    before = path.read_bytes()

    def parts() -> Iterator[Events]:
        yield random_events(10)
        yield random_events(10, start=1 << 30)

    with pytest.raises(
        DataError, match=r"has a pause of \d+ us behind \d+ us; \.raw takes less than 16777216"
    ):
        write_recording(path, parts())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(DataError, match=r"behind 0 us; \.es takes less than 4294967296"):
        write_recording(tmp_path / "some.es", random_events(10, start=1 << 33))
    with pytest.raises(DataError, match=r"lasts \d+ us; \.dat takes less than 4294967296"):
        write_recording(tmp_path / "some.dat", [random_events(10), random_events(10, start=1 << 33)])


def test_names_that_stand_for_no_recording(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"some\.bin ends in \.bin; recordings end in \.aedat4, \.raw, \.dat"):
        open_recording(tmp_path / "some.bin")
    with pytest.raises(DataError, match=r"There is no recording at .*none\.raw"):
        open_recording(tmp_path / "none.raw")
    with pytest.raises(DataError, match=r"got no piece for .*some\.npz"):
        write_recording(tmp_path / "some.npz", [])


def test_events_are_what_their_columns_say() -> None:
    events = Events.of([1, 1, 4], [0, 2, 1], [1.0, 0.0, 1.0], [-1, 1, 1], width=3, height=2)
    assert events.array.tolist() == [(1, 0, 1, 0), (1, 2, 0, 1), (4, 1, 1, 1)]
    assert events.array.dtype == EVENT
    assert (len(events.between(1, 4)), len(events.between(4, 5)), len(events.between(2, 3))) == (2, 1, 0)
    assert [len(part) for part in events.pieces(2)] == [2, 1]
    assert Events.of([], [], [], [], width=3, height=2).duration == 0
    with pytest.raises(ShapeError, match="takes four of one length"):
        Events.of([1], [1, 2], [0], [1], width=3, height=2)
    with pytest.raises(DataError, match=r"Event 1 has the polarity 2"):
        Events.of([1, 2], [1, 2], [0, 0], [1, 2], width=3, height=2)
    with pytest.raises(DataError, match=r"The events' t came as float64; whole numbers are taken"):
        Events.of([0.5], [1], [0], [1], width=3, height=2)
    with pytest.raises(DataError, match=r"with fields a; a structured array \(N,\) with t, x, y, p is taken"):
        check_events(np.zeros(3, [("a", "i4")]), width=3, height=2)
    with pytest.raises(DataError, match="it takes parts of one"):
        Events.joined([events, Events.of([], [], [], [], width=9, height=2)])
