"""`spikedrive predict`: names and scores for image files, for texts, or for recordings of an event camera."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikedrive.cli.output import JsonFlag, best_names, emit, table
from spikedrive.errors import ConfigError, DataError

if TYPE_CHECKING:
    from spikedrive.blocks import SpikingModel
    from spikedrive.data.events import Events, Recording


def verb(
    run: Annotated[str, typer.Argument(metavar="RUN|CHECKPOINT", help="A run's folder or a checkpoint.")],
    images: Annotated[
        list[str],
        typer.Argument(help="PNG or JPEG files; texts, or .txt files with one each; recordings of events."),
    ],
    top: Annotated[int, typer.Option(min=1, help="How many names per image.")] = 3,
    size: Annotated[
        str | None, typer.Option(help="Of a sensor that the recording does not say, as in 640x480.")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Drop events of a recording outside the sensor or back in time.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Name what is on images, or the classes of texts or of recordings, with scores.

    Of a recording a run sees what its clips had: the first slices of its window, or the whole of it.
    """
    import torch

    from spikedrive.cli.target import checkpoint_path, input_size, load_trained
    from spikedrive.data import read_image
    from spikedrive.data.transforms import normalise
    from spikedrive.models import load_model

    loaded = load_model(checkpoint_path(run))
    if (size or repair) and "events" not in loaded.metadata:
        raise ConfigError(
            f"predict got --size or --repair for {run}, which learned no recordings; they are of recordings. Leave "
            "them out."
        )
    if loaded.card is not None and loaded.card.task == "text_classification":
        _predict_texts(loaded, images, top, as_json)
        return
    _check_names_one(loaded, run)
    if "events" in loaded.metadata:
        _predict_recordings(loaded, images, top, as_json, size, repair)
        return
    model = load_trained(run)
    known = model.metadata
    channels, height, width = input_size(model)
    answers = []
    for path in images:
        pixels = read_image(path, (height, width), channels)
        with torch.no_grad():
            logits = model(normalise(pixels[None], known["mean"], known["std"]))[0]
        answers.append({"image": path, **best_names(logits, known["class_names"], top)})
    rows = [[a["image"], n, s] for a in answers for n, s in zip(a["names"], a["scores"], strict=True)]
    emit(answers, table(["image", "name", "score"], rows), as_json)


ELSEWHERE = {
    "lm": "spikedrive generate {run} --prompt TEXT continues a text",
    **dict.fromkeys(("flow", "video", "segment", "pose"), "spikedrive eval {run} --data DATA judges it"),
}
"""What answers in the place of this verb, by what a model does."""


def _check_names_one(model: SpikingModel, run: str) -> None:
    """Raise ConfigError for a model whose answer is not one class of one image, text or recording."""
    from spikedrive.models import MODELS

    learned = str(model.metadata.get("task", model.card.task if model.card else ""))
    pair = model.card is not None and "inputs" in MODELS[model.card.name].config
    if learned in ELSEWHERE or pair:
        what, instead = ("two cameras", ELSEWHERE["video"]) if pair else (learned, ELSEWHERE[learned])
        raise ConfigError(
            f"{run} is a model of {what}; predict names the class of an image, a text or a recording of one event "
            f"camera. Another verb serves it: {instead.format(run=run)}."
        )


def _predict_recordings(
    model: SpikingModel, paths: list[str], top: int, as_json: bool, size: str | None, repair: bool
) -> None:
    import torch

    from spikedrive.cli.target import sensor_size
    from spikedrive.data.events import FrameReader, open_recording, read_record

    known = model.metadata
    reader = read_record(known["events"])
    most = reader.window * reader.steps if isinstance(reader, FrameReader) and reader.window else None
    answers = []
    for path in paths:
        events = _beginning(open_recording(path, size=sensor_size(size), repair=repair), most)
        if not len(events):
            raise DataError(f"{path} holds no events; a recording with some is accepted. Check the file.")
        with torch.no_grad():
            logits = model(reader([events]))[0]
        answers.append(
            {"recording": path, "events": len(events), **best_names(logits, known["class_names"], top)}
        )
    rows = [
        [a["recording"], a["events"], n, s]
        for a in answers
        for n, s in zip(a["names"], a["scores"], strict=True)
    ]
    emit(answers, table(["recording", "events", "name", "score"], rows), as_json)


def _beginning(recording: Recording, most: int | None) -> Events:
    """The events of the first `most` microseconds, without reading on; all of them for None."""
    from spikedrive.data.events import slice_by_time

    if most is None:
        return recording.read()
    first = next(iter(slice_by_time(recording, most, include_incomplete=True)), None)
    return recording.read() if first is None else first.events


def _predict_texts(model: SpikingModel, texts: list[str], top: int, as_json: bool) -> None:
    import torch

    from spikedrive.data.text import encode, pad, recorded_tokenizer

    known = model.metadata
    words = recorded_tokenizer(known)
    answers = []
    for given in texts:
        text = _read(Path(given)) if given.endswith(".txt") else given
        ids = pad([encode(text, words, int(known["context"]))], words.padding or 0)
        with torch.no_grad():
            logits = model(ids)[0]
        answers.append({"text": given, **best_names(logits, known["class_names"], top)})
    rows = [[a["text"][:60], n, s] for a in answers for n, s in zip(a["names"], a["scores"], strict=True)]
    emit(answers, table(["text", "name", "score"], rows), as_json)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); a text file in UTF-8, or the text itself, is accepted. Check the path."
        ) from error
