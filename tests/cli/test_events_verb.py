"""Recordings of event cameras on the command line: what they hold, and conversion."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cli.conftest import Command
from spikedrive.data.events import Events, open_recording, write_recording


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "some.npz"
    write_recording(
        path,
        Events.of(
            [0, 500_000, 700_000, 2_000_000], [0, 3, 1, 2], [1, 0, 1, 1], [1, 0, 1, 1], width=4, height=2
        ),
    )
    return path


def test_what_a_recording_holds(command: Command, recording: Path) -> None:
    found = json.loads(command("events", "info", recording, "--json").out)
    assert (found["format"], found["width"], found["height"], found["events"]) == ("npz", 4, 2, 4)
    assert (found["seconds"], found["events_per_second"], found["brighter"]) == (2.0, 2.0, 0.75)
    assert (found["outside"], found["backwards"]) == (0, 0)
    assert "events_per_second" in command("events", "info", recording).out


def test_events_that_need_a_repair_are_counted_or_refused(command: Command, tmp_path: Path) -> None:
    bad = tmp_path / "bad.npz"
    np.savez(bad, t=[5, 3, 9], x=[0, 1, 7], y=[0, 0, 0], p=[1, 1, 0], size=[4, 2])
    found = json.loads(command("events", "info", bad, "--json").out)
    assert (found["events"], found["outside"], found["backwards"]) == (1, 1, 1)
    out = tmp_path / "out.h5"
    refused = command("events", "convert", bad, out)
    assert refused.code == 2 and "outside a sensor of 4 x 2" in refused.err and not out.exists()
    mended = json.loads(command("events", "convert", bad, out, "--repair", "--json").out)
    assert (mended["events"], mended["dropped"]) == (1, 2)


def test_conversion_keeps_every_event(command: Command, recording: Path, tmp_path: Path) -> None:
    assert command("events", "convert", recording, tmp_path / "a.h5").code == 0
    assert command("events", "convert", tmp_path / "a.h5", tmp_path / "b.npz").code == 0
    assert np.array_equal(
        open_recording(tmp_path / "b.npz").read().array, open_recording(recording).read().array
    )


def test_a_file_is_replaced_on_request_only(command: Command, recording: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.h5"
    there.write_bytes(b"precious")
    answer = command("events", "convert", recording, there)
    assert answer.code == 2 and "is there already" in answer.err and there.read_bytes() == b"precious"
    assert command("events", "convert", recording, there, "--force").code == 0
    assert len(open_recording(there).read()) == 4


def test_files_that_are_cut_missing_or_of_another_kind(
    command: Command, recording: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.npz"
    cut.write_bytes(recording.read_bytes()[:200])
    for name, message in {
        "cut.npz": "cannot be read as .npz", "none.npz": "There is no recording at", "x.bin": "ends in .bin",
    }.items():  # fmt: skip
        answer = command("events", "info", tmp_path / name)
        assert answer.code == 2 and message in answer.err and len(answer.err.splitlines()) == 1
    answer = command("events", "info", recording, "--size", "wide")
    assert answer.code == 2 and "WIDTHxHEIGHT is taken" in answer.err
