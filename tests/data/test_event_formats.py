"""Binary files of published event data: what the test writes by the format's description comes back."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data import event_encoders
from spikedrive.data.events.formats import open_dat, read_aedat2, read_aedat3, read_atis, read_png16
from spikedrive.errors import DataError

Rows = list[tuple[int, int, int, int]]
quickly = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def rows(draw: st.DrawFn, most: int, side: int, height: int) -> Rows:
    one = st.tuples(
        st.integers(0, most), st.integers(0, side - 1), st.integers(0, height - 1), st.integers(0, 1)
    )
    return sorted(draw(st.lists(one, max_size=30)), key=lambda row: row[0])


def as_rows(array: np.ndarray) -> Rows:
    return [tuple(int(event[name]) for name in ("t", "x", "y", "p")) for event in array]  # type: ignore[misc]


@quickly
@given(events=rows(most=(1 << 23) + 40_000, side=256, height=240))
def test_atis_comes_back_over_its_overflows(tmp_path: Path, events: Rows) -> None:
    event_encoders.write_atis(tmp_path / "some.bin", events)
    assert as_rows(read_atis(tmp_path / "some.bin")) == events


def test_atis_bits_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "some.bin"
    # x 5, y 6, brighter at 0x010203; the clock's overflow; x 1, y 2, darker at 4
    path.write_bytes(bytes([5, 6, 0x81, 2, 3, 0, 240, 0, 0, 0, 1, 2, 0, 0, 4]))
    assert as_rows(read_atis(path)) == [(0x010203, 5, 6, 1), (8196, 1, 2, 0)]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="14 bytes, which are no whole events of 5; it is truncated"):
        read_atis(path)


@quickly
@given(events=rows(most=(1 << 32) - 1, side=128, height=128), special=st.integers(0, 2))
def test_aedat2_comes_back_without_signals_from_outside(tmp_path: Path, events: Rows, special: int) -> None:
    event_encoders.write_aedat2(tmp_path / "some.aedat", events, special)
    assert as_rows(read_aedat2(tmp_path / "some.aedat")) == events


def test_damaged_aedat2(tmp_path: Path) -> None:
    path = tmp_path / "some.aedat"
    event_encoders.write_aedat2(path, [(1, 2, 3, 1)])
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="ends inside an event of 8 bytes; it is truncated"):
        read_aedat2(path)
    event_encoders.write_aedat3(path, [])
    with pytest.raises(DataError, match=r"begins with b'#!AER-DAT3\.1'; AEDAT 2\.0 begins with #!AER-DAT2"):
        read_aedat2(path)


@quickly
@given(
    parts=st.lists(rows(most=(1 << 31) - 1, side=1 << 15, height=1 << 15), max_size=5),
    spare=st.integers(0, 2),
    window=st.tuples(st.integers(0, 1 << 33), st.integers(0, 1 << 33)),
)
def test_aedat3_comes_back_whole_and_in_part(
    tmp_path: Path, parts: list[Rows], spare: int, window: tuple[int, int]
) -> None:
    path = tmp_path / "some.aedat"
    shifted = [[(t + (i << 31), x, y, p) for t, x, y, p in part] for i, part in enumerate(parts)]
    packets = [event_encoders.aedat3_packet(part, spare=spare) for part in shifted]
    # a packet of another kind and events that are marked as invalid say nothing
    packets.insert(len(packets) // 2, event_encoders.aedat3_packet([(1, 1, 1, 1)], kind=2))
    packets.append(event_encoders.aedat3_packet([(9, 9, 9, 1)], valid=False))
    event_encoders.write_aedat3(path, packets)
    every = [row for part in shifted for row in part]
    assert as_rows(read_aedat3(path)) == every
    start, end = min(window), max(window)
    assert as_rows(read_aedat3(path, start, end)) == [row for row in every if start <= row[0] < end]


def test_damaged_aedat3(tmp_path: Path) -> None:
    path = tmp_path / "some.aedat"
    event_encoders.write_aedat3(path, [event_encoders.aedat3_packet([(1, 2, 3, 1)])])
    whole = path.read_bytes()
    for cut in (1, 8, 20):
        path.write_bytes(whole[:-cut])
        with pytest.raises(DataError, match=r"ends inside the packet at byte \d+; it is truncated"):
            read_aedat3(path)
    path.write_bytes(whole.replace(b"#!END-HEADER", b"#!end-header"))
    with pytest.raises(DataError, match="has no #!END-HEADER in its first"):
        read_aedat3(path)
    event_encoders.write_aedat2(path, [])
    with pytest.raises(DataError, match=r"AEDAT 3\.1 begins with #!AER-DAT3"):
        read_aedat3(path)
    # eight events where one has room
    event_encoders.write_aedat3(path, [])
    head = path.read_bytes()
    broken = bytearray(event_encoders.aedat3_packet([(1, 2, 3, 1)]))
    broken[20] = 8
    path.write_bytes(head + bytes(broken))
    with pytest.raises(DataError, match="a packet of 8 of 1 polarity events of 8 bytes"):
        read_aedat3(path)


@quickly
@given(
    events=rows(most=(1 << 32) - 1, side=1 << 14, height=1 << 14),
    window=st.tuples(st.integers(-5, 1 << 33), st.integers(-5, 1 << 33)),
)
def test_dat_comes_back_in_part(tmp_path: Path, events: Rows, window: tuple[int, int]) -> None:
    path = tmp_path / "some.dat"
    event_encoders.write_dat(path, events, b"% Data file containing CD events.\n% Version 2\n")
    file = open_dat(path)
    assert (file.count, file.size) == (len(events), None)
    assert as_rows(file.between(*window)) == [row for row in events if window[0] <= row[0] < window[1]]


def test_headers_of_dat(tmp_path: Path) -> None:
    path = tmp_path / "some.dat"
    event_encoders.write_dat(path, [(1, 2, 3, 1)], b"% Version 2\n% Height 240\n% Width 304\n")
    assert open_dat(path).size == (304, 240)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError, match="ends inside an event of 8 bytes; it is truncated"):
        open_dat(path)
    path.write_bytes(b"t,x,y,p\n" * 9)
    with pytest.raises(DataError, match="does not begin with lines of % and events of 8 bytes"):
        open_dat(path)


@quickly
@given(data=st.data(), width=st.integers(1, 6), height=st.integers(1, 7), parts=st.integers(1, 3))
def test_png16_comes_back_through_every_filter(
    tmp_path: Path, data: st.DataObject, width: int, height: int, parts: int
) -> None:
    filters = data.draw(st.lists(st.integers(0, 4), min_size=height, max_size=height))
    numbers = st.integers(0, (1 << 16) - 1)
    flat = data.draw(st.lists(numbers, min_size=width * height * 3, max_size=width * height * 3))
    picture = np.array(flat, np.uint16).reshape(height, width, 3)
    (tmp_path / "some.png").write_bytes(event_encoders.png16(picture, filters, parts))
    np.testing.assert_array_equal(read_png16(tmp_path / "some.png"), picture)


def test_damaged_png16(tmp_path: Path) -> None:
    path = tmp_path / "some.png"
    whole = event_encoders.png16(np.zeros((2, 2, 3), np.uint16), [0, 1])
    other = whole[:24] + bytes([8]) + whole[25:]
    checked = other[:29] + struct.pack(">I", zlib.crc32(other[12:29])) + other[33:]
    for data, said in (
        (whole[:-6], "cannot be read as a PNG of three channels of 16 bits"),
        (whole[:60], "cannot be read as a PNG of three channels of 16 bits"),
        (whole[5:], "it begins with"),
        (other, "its part b'IHDR' is damaged"),
        (checked, "it has 8 bits of colour type 2"),
    ):
        path.write_bytes(data)
        with pytest.raises(DataError, match=said):
            read_png16(path)
