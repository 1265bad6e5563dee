"""A web page on this machine that shows a live input; each visitor has a live input of its own, on one network."""

from __future__ import annotations

import importlib.resources
import json
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from spikedrive.errors import ConfigError, SpikedriveError
from spikedrive.live.network import Network
from spikedrive.live.player import Played
from spikedrive.live.view import Totals, message

Play = Callable[[Callable[[float], bool]], Iterable[Played]]
"""Starts a recording anew; the argument waits for some seconds, and says whether to stop."""


class Server:
    """Serves `/` (the page), `/stream` (server-sent events) and `/status` (how many streams run) until it is closed.

    It answers requests for its own address alone, so that a page of another site cannot read it through a name that
    points here.

    *Raises*: ConfigError for an address that cannot be bound.
    """

    def __init__(
        self,
        network: Network,
        play: Play,
        title: str,
        *,
        slices: int | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.network, self.play, self.title, self.slices = network, play, title, slices
        self.page = importlib.resources.files("spikedrive.live").joinpath("page.html").read_bytes()
        self.closing = threading.Event()
        self._running, self._lock = 0, threading.Lock()
        try:
            self._http = _Http((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"The page cannot be served at {host}:{port} ({error}); a free port of an address of this machine is "
                "taken. Set --port 0 for any free one."
            ) from error
        self._http.owner = self
        self.host = host

    @property
    def port(self) -> int:
        """That of the page."""
        return int(self._http.server_address[1])

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://{self.host}:{self.port}/"

    @property
    def running(self) -> int:
        """Live inputs that are open."""
        return self._running

    @property
    def introduction(self) -> dict[str, Any]:
        """What a page is told first."""
        engine = self.network.program is not None
        return {"title": self.title, "classes": list(self.network.class_names), "engine": engine}

    def run(self) -> None:
        """Answer until `close` is called from another thread, or the process is interrupted."""
        self._http.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """End every live input and the page."""
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()

    def count(self, more: int) -> None:
        """One live input more, or less."""
        with self._lock:
            self._running += more


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    owner: Server


class _Handler(BaseHTTPRequestHandler):
    server: _Http  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        owner, path = self.server.owner, urlsplit(self.path).path
        if not self._is_own_address():
            self._send(HTTPStatus.FORBIDDEN, b"another address than that of the page", "text/plain")
        elif path == "/":
            self._send(HTTPStatus.OK, owner.page, "text/html; charset=utf-8")
        elif path == "/status":
            self._json({"running": owner.running})
        elif path == "/stream":
            self._stream()
        else:
            self._send(HTTPStatus.NOT_FOUND, b"not here", "text/plain")

    def _is_own_address(self) -> bool:
        name = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        bound = self.server.owner.host
        # bound to all addresses there is no own name to compare with
        return bound in ("0.0.0.0", "::") or name in (bound, "localhost")

    def _stream(self) -> None:
        owner = self.server.owner
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        for key, value in (
            ("Content-Type", "text/event-stream"),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
        ):
            self.send_header(key, value)
        self.end_headers()
        owner.count(1)
        try:
            session, totals = owner.network.open(slices=owner.slices), Totals()
            self._event(
                "begin", owner.introduction | {"table": session.meter.table if session.meter else None}
            )
            scores = None
            for played in owner.play(owner.closing.wait):
                answer = session.answer(played.part)
                totals.add(answer)
                scores = answer.scores
                self._event("slice", message(played, answer, totals))
            if not owner.closing.is_set():
                self._event("end", totals.summary(scores, owner.network.class_names))
        except SpikedriveError as error:
            self._event("failure", {"error": str(error)})
        except (BrokenPipeError, ConnectionResetError):
            # the visitor has left, which ends its live input
            return
        finally:
            owner.count(-1)

    def _event(self, kind: str, value: Any) -> None:
        self.wfile.write(f"event: {kind}\ndata: {json.dumps(value)}\n\n".encode())
        self.wfile.flush()

    def _json(self, value: Any) -> None:
        self._send(HTTPStatus.OK, json.dumps(value).encode(), "application/json")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        for key, what in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(key, what)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is the user's."""
