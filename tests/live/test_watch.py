"""`spikedrive watch`: recordings and simulated cameras, in both forms, on a terminal and on a page."""

from __future__ import annotations

import http.client
import io
import json
import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

import spikedrive as sd
from event_training import SIDE, WINDOW, moving_bar
from spikedrive.blocks import SpikingModel
from spikedrive.cli.app import main
from spikedrive.data.events import Events, FrameReader, Slice, slice_by_time, write_recording
from spikedrive.live import Network, Player, Totals
from spikedrive.live.terminal import screen, with_prefix


@pytest.fixture
def checkpoint(model: SpikingModel, tmp_path: Path) -> str:
    known = {"class_names": ["a", "b", "c"], "events": FrameReader(4, SIDE, SIDE, WINDOW).record}
    sd.save_model(model, tmp_path / "model.safetensors", metadata=known)
    return str(tmp_path / "model.safetensors")


@pytest.fixture
def recording(tmp_path: Path) -> str:
    write_recording(tmp_path / "bar.aedat4", moving_bar(True, 3))
    return str(tmp_path / "bar.aedat4")


@pytest.mark.parametrize("engine", [False, True])
def test_a_recording_is_watched(
    recording: str, checkpoint: str, engine: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["watch", recording, "--model", checkpoint, "--speed", "0", *(["--engine"] if engine else [])]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["slices"], found["events"], found["engine"]) == (6, 1200, engine)
    assert found["answer"] in ("a", "b", "c") and found["joules"] > 0 and found["energy_table"] == "45nm"
    assert main([*words, "--seconds", "0.01"]) == 0
    assert re.match(rf"{found['answer']}|a|b|c: 2 slices of 5 ms, 400 events", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recording": "nothing.raw"}, "There is no recording at nothing.raw"),
        ({"recording": "empty.npz"}, "holds no events; at least one is taken"),
        ({"recording": "small.npz"}, "sensor of 8 x 8 came for frames of 16 x 16"),
        ({"recording": "."}, "is a folder; a recording, or a set of clips"),
        ({"--size": "640"}, "--size 640 is no size; WIDTHxHEIGHT is taken"),
        ({"--model": "meta_spikeformer_nano.fashion"}, "does not say how it reads events"),
    ],
)
def test_what_cannot_be_watched_is_refused(
    recording: str, checkpoint: str, changes: dict[str, str], said: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write_recording("empty.npz", Events.of([], [], [], [], width=SIDE, height=SIDE))
    write_recording("small.npz", Events.of([0], [1], [1], [1], width=8, height=8))
    words = {"recording": recording, "--model": checkpoint, "--speed": "0", **changes}
    name = words.pop("recording")
    assert main(["watch", name, *(word for pair in words.items() for word in pair)]) == 2
    assert said in capsys.readouterr().err


def test_the_page_is_served_until_it_is_interrupted(recording: str, checkpoint: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "spikedrive", "watch", recording, "--model", checkpoint, "--serve", "--speed", "0",
         "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            visit_and_end(process)
        finally:
            # a test that fails does not wait for ever
            process.kill()


def visit_and_end(process: subprocess.Popen[str]) -> None:
    """One visitor sees the recording, and a signal ends the server."""
    assert process.stdout is not None
    text = "".join(process.stdout.readline() for _ in range(3))
    address = json.loads(text)["address"]
    assert address.startswith("http://127.0.0.1:")
    connection = http.client.HTTPConnection(address.split("/")[2], timeout=30)
    with closing(connection):
        connection.request("GET", "/stream")
        said = connection.getresponse().read().decode()
    assert said.count("event: slice") == 6 and "event: end" in said
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert process.stderr is not None and "stopped" in process.stderr.read()


def test_the_terminal_shows_events_scores_and_costs(model: SpikingModel) -> None:
    network = Network(model, FrameReader(4, SIDE, SIDE, WINDOW), ("a", "b", "c"))
    parts = list(slice_by_time(moving_bar(True, 3), WINDOW, start=0, include_incomplete=True))
    network.price([parts[0].events])
    seen = parts[0].events
    bright = Events(seen.array[seen.array["p"] == 1], SIDE, SIDE)
    session, totals = network.open(), Totals()
    (played,) = Player([Slice(bright, 0, WINDOW)], speed=0)
    answer = session.answer(played.part)
    totals.add(answer)
    console = Console(
        width=120, record=True, force_terminal=True, color_system="truecolor", file=io.StringIO()
    )
    console.print(screen(played, answer, totals, network.class_names))
    text = console.export_text(clear=False)
    lines = text.splitlines()
    # two rows of pixels a line
    assert sum(line.startswith("▀" * SIDE) for line in lines) == SIDE // 2
    assert all(
        re.search(rf"{name} .*{100 * score:.1f}%", text)
        for name, score in zip("abc", answer.scores, strict=True)
    )
    assert f"{len(bright)} events" in text and "J so far" in text
    # the bar is brighter, and nothing is darker
    assert "#e69f00" in console.export_html().lower()


def test_prefixes_of_units() -> None:
    assert [with_prefix(value) for value in (0, 2.5, 3.21e-3, 4e-7, 9.99e-13)] == [
        "0 ", "2.5 ", "3.21 m", "400 n", "999 f"
    ]  # fmt: skip
