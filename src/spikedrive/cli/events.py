"""`spikedrive events`: what a recording of an event camera holds, and the same events in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from spikedrive.cli.output import JsonFlag, emit, table
from spikedrive.errors import ConfigError, DataError

SizeOption = Annotated[
    str | None, typer.Option(help="Of a sensor that the file does not say, as in 640x480.")
]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def root() -> None:
    """Look at recordings of event cameras, and convert them."""


@app.command()
def info(
    file: Annotated[Path, typer.Argument(help="A recording: .aedat4, .raw, .dat, .es, .csv, .h5 or .npz.")],
    size: SizeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what a recording holds, read piece by piece; events that would need a repair are counted."""
    from spikedrive.data.events import open_recording

    recording = open_recording(file, size=_size(size), repair=True)
    events = brighter = 0
    first = last = None
    for part in recording:
        events += len(part)
        brighter += int(part.array["p"].sum())
        first = int(part.array["t"][0]) if first is None else first
        last = int(part.array["t"][-1])
    seconds = 0.0 if first is None or last is None else (last - first) / 1e6
    repairs = recording.repairs
    found: dict[str, Any] = {
        "file": str(file), "format": file.suffix.lower()[1:], "width": recording.width, "height": recording.height,
        "events": events, "seconds": seconds, "events_per_second": events / seconds if seconds else None,
        "brighter": brighter / events if events else None, "outside": repairs.outside if repairs else 0,
        "backwards": repairs.backwards if repairs else 0,
    }  # fmt: skip
    emit(found, table(["field", "value"], [[name, value] for name, value in found.items()]), as_json)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A recording.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Its suffix says the format.")],
    size: SizeOption = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Drop events outside the sensor or back in time.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT where it is there.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write a recording in another format, piece by piece; a failure leaves what was there."""
    from spikedrive.data.events import open_recording, write_recording

    if target.is_dir():
        raise DataError(f"{target} is a folder; the path of a file is taken. Name a file in it.")
    if target.exists() and not force:
        raise ConfigError(
            f"{target} is there already; a new path is taken. Name another, or replace it with --force."
        )
    recording = open_recording(source, size=_size(size), repair=repair)
    written = write_recording(target, recording)
    dropped = recording.repairs.count if recording.repairs else 0
    emit(
        {"source": str(source), "target": str(target), "events": written, "dropped": dropped},
        f"{target}: {written} events" + (f", {dropped} dropped" if dropped else ""),
        as_json,
    )


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise ConfigError(f"--size {text} is no size; WIDTHxHEIGHT is taken. Write it as in 640x480.")
    return int(width), int(height)
