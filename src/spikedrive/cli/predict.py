"""`spikedrive predict`: names and scores for image files, or for texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikedrive.cli.output import JsonFlag, best_names, emit, table
from spikedrive.errors import DataError

if TYPE_CHECKING:
    from spikedrive.blocks import SpikingModel


def verb(
    run: Annotated[str, typer.Argument(metavar="RUN|CHECKPOINT", help="A run's folder or a checkpoint.")],
    images: Annotated[
        list[str], typer.Argument(help="PNG or JPEG files; texts, or .txt files with one each.")
    ],
    top: Annotated[int, typer.Option(min=1, help="How many names per image.")] = 3,
    as_json: JsonFlag = False,
) -> None:
    """Name what is on images, or the classes of texts, with scores."""
    import torch

    from spikedrive.cli.target import checkpoint_path, input_size, load_trained
    from spikedrive.data import read_image
    from spikedrive.data.transforms import normalise
    from spikedrive.models import load_model

    loaded = load_model(checkpoint_path(run))
    if loaded.card is not None and loaded.card.task == "text_classification":
        _predict_texts(loaded, images, top, as_json)
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
