"""`spikedrive predict`: names and scores for image files."""

from __future__ import annotations

from typing import Annotated

import typer

from spikedrive.cli.output import JsonFlag, best_names, emit, table


def verb(
    run: Annotated[str, typer.Argument(metavar="RUN|CHECKPOINT", help="A run's folder or a checkpoint.")],
    images: Annotated[list[str], typer.Argument(help="PNG or JPEG files.")],
    top: Annotated[int, typer.Option(min=1, help="How many names per image.")] = 3,
    as_json: JsonFlag = False,
) -> None:
    """Name what is on images, with scores."""
    import torch

    from spikedrive.cli.target import input_size, load_trained
    from spikedrive.data import read_image
    from spikedrive.data.transforms import normalise

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
