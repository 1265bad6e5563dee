"""`spikedrive watch`: a recording of an event camera through a network, at its own speed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikedrive.cli.output import JsonFlag, emit, note, on_terminal
from spikedrive.errors import DataError

if TYPE_CHECKING:
    from spikedrive.live import Network, Played
    from spikedrive.live.inputs import Input

PRICED = 64
"""Slices at the beginning on which the audit measures what the network costs."""


def verb(
    recording: Annotated[
        str,
        typer.Argument(
            help="A file of an event camera, or the clips of a set one after another, as in moving_fashion."
        ),
    ],
    model: Annotated[
        str, typer.Option(metavar="RUN|CHECKPOINT", help="A network that was trained on clips of events.")
    ],
    serve: Annotated[bool, typer.Option("--serve", help="Show it on a web page in place of here.")] = False,
    engine: Annotated[bool, typer.Option("--engine", help="Run the compiled integer program.")] = False,
    speed: Annotated[float, typer.Option(min=0, help="1 is as it was recorded, 0 as fast as can be.")] = 1.0,
    slices: Annotated[
        int | None, typer.Option(min=1, help="An answer is about so many last slices; those it learned with.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Of the recording, at the most; all of it by default.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Of a sensor that the file does not say, as in 640x480.")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Drop events outside the sensor or back in time.")
    ] = False,
    host: Annotated[
        str, typer.Option(help="With --serve: the address; others reach it only where this is theirs.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="With --serve: the port; 0 takes any free one.")
    ] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Play a recording through a network: what it sees, how sure it is, and what that costs, slice by slice.

    On a terminal the events and the scores are drawn as they come, elsewhere the summary stands at the end. With
    --serve every visitor of the page sees the recording from its beginning.
    """
    from spikedrive.cli.target import checkpoint_path, sensor_size
    from spikedrive.live import Network, Player
    from spikedrive.live.inputs import open_input

    given = open_input(recording, size=sensor_size(size), repair=repair)
    network = Network.load(checkpoint_path(model), engine=engine)
    window = network.window
    sample = [part.events for part in islice(_slices(given, window, seconds), PRICED)]
    if not sample:
        raise DataError(
            f"{recording} holds no events; at least one is taken. Watch another recording, or more seconds of it."
        )
    network.price(sample)

    def play(wait: Callable[[float], bool] | None = None) -> Iterable[Played]:
        return Player(_slices(given, window, seconds), speed=speed, wait=wait)

    if serve:
        _serve(network, play, given.title, slices, host, port, as_json)
        return
    found = _show(network, play(), slices, drawn=on_terminal() and not as_json)
    emit(
        {"recording": recording, "model": model, "engine": engine, **found},
        f"{found['answer']}: {found['slices']} slices of {window / 1000:g} ms, {found['events']} events, "
        f"{found['median_milliseconds']:.2f} ms an answer (p99 {found['p99_milliseconds']:.2f}), "
        f"{1e6 * found['joules']:.3g} uJ (table {found['energy_table']})",
        as_json,
    )


def _slices(given: Input, window: int, seconds: float | None) -> Iterable[Any]:
    from spikedrive.data.events import slice_by_time

    found = slice_by_time(given.pieces(), window, include_incomplete=True)
    return found if seconds is None else islice(found, int(seconds * 1e6 / window))


def _show(network: Network, played: Iterable[Played], slices: int | None, *, drawn: bool) -> dict[str, Any]:
    """Every slice in turn; drawn where there is a terminal."""
    from rich.live import Live

    from spikedrive.live import Totals
    from spikedrive.live.terminal import screen

    session, totals, answer = network.open(slices=slices), Totals(), None
    with Live(refresh_per_second=20, transient=True) if drawn else _Nothing() as view:
        try:
            for each in played:
                answer = session.answer(each.part)
                totals.add(answer)
                view.update(screen(each, answer, totals, network.class_names) if drawn else "")
        except KeyboardInterrupt:
            note("interrupted; what was seen until then:")
    table = session.meter.table if session.meter else None
    scores = None if answer is None else answer.scores
    return {**totals.summary(scores, network.class_names), "energy_table": table}


class _Nothing:
    """A view that shows nothing."""

    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def update(self, _what: object) -> None:
        """Not here."""


def _serve(
    network: Network, play: Any, title: str, slices: int | None, host: str, port: int, as_json: bool
) -> None:
    from spikedrive.live import Server

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    # who runs it as a service ends it so
    signal.signal(signal.SIGTERM, stop)
    server = Server(network, play, title, slices=slices, host=host, port=port)
    emit({"address": server.address}, f"{server.address} (Ctrl-C ends it)", as_json)
    try:
        server.run()
    except KeyboardInterrupt:
        note("stopped")
