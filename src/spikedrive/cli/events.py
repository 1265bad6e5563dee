"""`spikedrive events`: recordings of event cameras looked at, drawn, converted, and simulated."""

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
    """Look at recordings of event cameras, draw, convert and simulate them."""


@app.command()
def info(
    file: Annotated[Path, typer.Argument(help="A recording: .aedat4, .raw, .dat, .es, .csv, .h5 or .npz.")],
    size: SizeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what a recording holds, read piece by piece; events that would need a repair are counted."""
    from spikedrive.cli.target import sensor_size
    from spikedrive.data.events import open_recording

    recording = open_recording(file, size=sensor_size(size), repair=True)
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
    from spikedrive.cli.target import sensor_size
    from spikedrive.data.events import open_recording, write_recording

    _check_free(target, force)
    recording = open_recording(source, size=sensor_size(size), repair=repair)
    written = write_recording(target, recording)
    dropped = recording.repairs.count if recording.repairs else 0
    emit(
        {"source": str(source), "target": str(target), "events": written, "dropped": dropped},
        f"{target}: {written} events" + (f", {dropped} dropped" if dropped else ""),
        as_json,
    )


@app.command()
def simulate(
    film: Annotated[
        Path, typer.Argument(help="A folder of PNG or JPEG frames, an .npy file (N, H, W), or one picture.")
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Its suffix says the format.")],
    fps: Annotated[float, typer.Option(help="Frames a second of a folder or an array.")] = 30.0,
    gaze: Annotated[
        float, typer.Option(help="Over one picture: pixels that the gaze goes from its middle.")
    ] = 3.0,
    contrast: Annotated[float, typer.Option(help="Change of the logarithm that sends an event.")] = 0.2,
    mismatch: Annotated[float, typer.Option(help="Deviation of that between pixels, as a share.")] = 0.0,
    leak: Annotated[float, typer.Option(help="Events a second and pixel without any change.")] = 0.0,
    shot: Annotated[float, typer.Option(help="Events of noise a second and pixel.")] = 0.0,
    refractory: Annotated[int, typer.Option(help="Microseconds in which a pixel sends no second event.")] = 0,
    bandwidth: Annotated[float | None, typer.Option(help="Of the pixels, in hertz; none by default.")] = None,
    seed: Annotated[int, typer.Option(help="Of mismatch, leak and noise.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT where it is there.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Record what a simulated event camera sees of a film, or of a picture over which its gaze goes.

    The same film, settings and seed give the same events.
    """
    from spikedrive.data.events import write_recording
    from spikedrive.data.events.simulated import EventCamera, open_film

    _check_free(target, force)
    frames = open_film(film, fps=fps, gaze=gaze)
    camera = EventCamera(
        frames.width, frames.height, positive=contrast, negative=contrast, mismatch=mismatch, leak=leak, shot=shot,
        refractory=refractory, bandwidth=bandwidth, seed=seed,
    )  # fmt: skip
    written = write_recording(target, camera.stream(frames))
    found = {
        "film": str(film), "frames": frames.frames, "target": str(target), "width": frames.width,
        "height": frames.height, "events": written,
    }  # fmt: skip
    emit(
        found,
        f"{target}: {written} events of {frames.width} x {frames.height} from {frames.frames} frames",
        as_json,
    )


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="A recording.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A .png with all slices, or a .gif of them.")],
    window: Annotated[int, typer.Option(min=1, help="Microseconds of a slice.")] = 50_000,
    slices: Annotated[int, typer.Option(min=1, max=400, help="How many, from the first event on.")] = 8,
    size: SizeOption = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Drop events outside the sensor or back in time.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Draw a recording's first slices: brighter events are orange, darker ones blue, pixels with both black."""
    from itertools import islice

    from spikedrive.cli.target import sensor_size
    from spikedrive.data.events import open_recording, slice_by_time
    from spikedrive.live.drawing import write_pictures

    if out.suffix.lower() not in (".png", ".gif"):
        raise ConfigError(f"--out {out} is neither .png nor .gif; one of these is written. Name it so.")
    recording = open_recording(file, size=sensor_size(size), repair=repair)
    drawn = list(islice(slice_by_time(recording, window, include_incomplete=True), slices))
    if not drawn:
        raise DataError(f"{file} holds no events; a recording with some is drawn. Check the file.")
    write_pictures(out, [part.events for part in drawn])
    found = {"file": str(file), "out": str(out), "slices": len(drawn), "events": sum(map(len, drawn))}
    emit(found, f"{out}: {found['events']} events in {len(drawn)} slices of {window} us", as_json)


def _check_free(target: Path, force: bool) -> None:
    if target.is_dir():
        raise DataError(f"{target} is a folder; the path of a file is taken. Name a file in it.")
    if target.exists() and not force:
        raise ConfigError(
            f"{target} is there already; a new path is taken. Name another, or replace it with --force."
        )
