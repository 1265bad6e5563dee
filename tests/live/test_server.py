"""The page of a live input: what it serves and to whom, many visitors at once, and a browser that comes and goes."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from event_training import SIDE, WINDOW, moving_bar
from reports.browser import CHROMIUM, MARK
from spikedrive.data.events import Events, slice_by_time
from spikedrive.errors import ConfigError, DataError
from spikedrive.live import Network, Player, Server
from spikedrive.live.view import picture

CLIP = moving_bar(True, 3, windows=12)


def play(wait: Callable[[float], bool], *, speed: float = 0) -> Player:
    return Player(slice_by_time(CLIP, WINDOW, start=0, include_incomplete=True), speed=speed, wait=wait)


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(timeout=10)
    assert not thread.is_alive()


@pytest.fixture
def server(network: Network) -> Iterator[Server]:
    with serving(Server(network, play, "a <clip> & more")) as running:
        yield running


def get(server: Server, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    with closing(connection):
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def read_stream(server: Server) -> list[tuple[str, Any]]:
    status, text = get(server, "/stream")
    assert status == 200
    found = []
    for block in text.strip().split("\n\n"):
        kind, data = block.split("\n")
        found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_a_stream_tells_every_slice(server: Server, network: Network) -> None:
    (begin, said), *parts, (end, summary) = read_stream(server)
    assert (begin, end) == ("begin", "end")
    assert said["title"] == "a <clip> & more" and said["classes"] == ["a", "b", "c"]
    assert [kind for kind, _ in parts] == ["slice"] * 12
    session = network.open()
    slices = slice_by_time(CLIP, WINDOW, start=0, include_incomplete=True)
    for (_, part), wanted in zip(parts, slices, strict=True):
        answer = session.answer(wanted)
        assert part["scores"] == [round(float(score), 5) for score in answer.scores]
        assert (part["time"], part["events"]) == (answer.time, 200)
        packed = np.frombuffer(base64.b64decode(part["picture"]), np.uint8)
        pixels = (packed[:, None] >> np.array([0, 2, 4, 6]) & 3).ravel()[: SIDE * SIDE].reshape(SIDE, SIDE)
        np.testing.assert_array_equal(pixels, picture(wanted.events))
    assert parts[-1][1]["total_events"] == summary["events"] == 2400
    wait_for(lambda: server.running == 0, "the stream goes on")


def test_a_picture_shows_each_polarity_and_gathers_pixels() -> None:
    events = Events.of([0, 1, 2], [0, 3, 3], [0, 1, 1], [0, 1, 0], width=4, height=2)
    assert picture(events).tolist() == [[1, 0, 0, 0], [0, 0, 0, 3]]
    assert picture(events, 2).tolist() == [[1, 3]]


def test_many_visitors_each_see_what_one_sees(server: Server) -> None:
    alone = read_stream(server)
    found: list[Any] = [None] * 4

    def visit(k: int) -> None:
        found[k] = read_stream(server)

    threads = [threading.Thread(target=visit, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = ("milliseconds", "median_milliseconds", "p99_milliseconds", "behind_milliseconds")
    plain = [
        [(kind, {k: v for k, v in said.items() if k not in times}) for kind, said in one]
        for one in (alone, *found)
    ]
    assert all(each == plain[0] for each in plain[1:])


def test_other_paths_and_other_hosts_get_nothing(server: Server) -> None:
    assert get(server, "/")[0] == 200
    assert get(server, "/../server.py")[0] == 404
    assert get(server, "/status") == (200, '{"running": 0}')
    assert get(server, "/status", f"localhost:{server.port}")[0] == 200
    # a name of somebody else's site that was pointed here
    for path in ("/", "/stream", "/status"):
        assert get(server, path, "example.org")[0] == 403


def test_a_taken_port_is_refused(server: Server, network: Network) -> None:
    with pytest.raises(ConfigError, match="cannot be served at"):
        Server(network, play, "again", port=server.port)


def test_an_error_while_playing_reaches_the_page(network: Network) -> None:
    def broken(_wait: Callable[[float], bool]) -> Any:
        yield from list(play(lambda _: False))[:2]
        raise DataError("The file was cut.")

    with serving(Server(network, broken, "broken")) as server:
        kinds = read_stream(server)
    assert [kind for kind, _ in kinds] == ["begin", "slice", "slice", "failure"]
    assert kinds[-1][1] == {"error": "The file was cut."}


def test_a_visitor_who_leaves_ends_the_stream_and_so_does_closing(network: Network) -> None:
    def slow(wait: Callable[[float], bool]) -> Player:
        # a slice each 50 ms, for ten minutes
        parts = slice_by_time(
            Events.of([0, 60_000_000], [0, 1], [0, 1], [0, 1], width=SIDE, height=SIDE), WINDOW
        )
        return Player(parts, speed=0.1, wait=wait)

    with serving(Server(network, slow, "slow")) as server:
        connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=20) for _ in range(2)]
        answers = []
        for connection in connections:
            connection.request("GET", "/stream")
            answers.append(connection.getresponse())
            assert answers[-1].readline() == b"event: begin\n"
        wait_for(lambda: server.running == 2, "two streams did not start")
        answers[0].close()
        connections[0].close()
        wait_for(lambda: server.running == 1, "the stream of a visitor who left goes on")
    wait_for(lambda: server.running == 0, "a stream goes on after closing")
    assert b"event: end" not in answers[1].read()


SCRIPT = """<script>(() => {
  const say = (text) => console.log('MARK ' + text), seen = () => document.querySelector('#events').toDataURL();
  let first = null;
  const look = () => {
    const slices = Number(document.documentElement.dataset.slices || 0);
    if (slices >= 2 && first === null) first = seen();
    if (slices < 6) return setTimeout(look, 20);
    say('changed ' + (first !== seen()));
    say('scores ' + document.querySelectorAll('.score .number')[0].textContent);
    say('title ' + document.querySelector('#title').textContent);
    say('best ' + document.querySelectorAll('.score.best').length);
    setTimeout(() => location.replace('about:blank'), 200);
  };
  look();
})();</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_sees_events_and_scores_and_leaving_ends_the_stream(
    network: Network, tmp_path: Path
) -> None:
    def endless(wait: Callable[[float], bool]) -> Player:
        long = moving_bar(True, 3, windows=4000)
        clip = Events.of(
            long.array["t"], long.array["x"] % SIDE, long.array["y"], long.array["p"], width=SIDE, height=SIDE
        )
        return Player(slice_by_time(clip, WINDOW, start=0), speed=0.2, wait=wait)

    with serving(Server(network, endless, "a <clip> & more")) as server:
        server.page = server.page.replace(b"</body>", SCRIPT.replace("MARK", MARK).encode())
        log = tmp_path / "log"
        with log.open("wb") as file:
            browser = subprocess.Popen(
                [
                    str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update", "--disable-sync",
                    "--disable-extensions", "--enable-logging=stderr", "--remote-debugging-port=0",
                    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                    f"--user-data-dir={tmp_path / 'profile'}", server.address,
                ],
                stderr=file, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            wait_for(lambda: server.running == 1, "the page did not open its stream")
            wait_for(lambda: f"{MARK} best" in log.read_text("utf-8", "replace"), "the page did not draw")
            # the tab went elsewhere, and the browser still runs
            wait_for(lambda: server.running == 0, "the stream goes on without the page")
            assert browser.poll() is None
        finally:
            browser.terminate()
            browser.wait(timeout=20)
    console = log.read_text("utf-8", "replace")
    lines = [line.split(MARK, 1)[1] for line in console.splitlines() if MARK in line]
    said = [line.split('", source:')[0].strip() for line in lines]
    assert said[0] == "changed true"
    assert said[1].startswith("scores ") and said[1].endswith(" %")
    assert said[2:] == ["title a <clip> & more", "best 1"]
    assert "Uncaught" not in console
