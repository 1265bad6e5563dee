"""`spikedrive eval`: accuracy of a trained model."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from spikedrive.cli.output import JsonFlag, emit


def verb(
    run: Annotated[str, typer.Argument(metavar="RUN|CHECKPOINT", help="A run's folder or a checkpoint.")],
    data: Annotated[
        str, typer.Option(help="A folder of class folders, an .npz, an idx folder or a bundled name.")
    ],
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which part of the data.")] = "test",
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 128,
    as_json: JsonFlag = False,
) -> None:
    """Measure accuracy on images with labels."""
    from spikedrive.cli.target import images_for, load_trained
    from spikedrive.training import evaluate

    model = load_trained(run)
    images = images_for(model, data, split)
    result = evaluate(
        model, images, batch_size=batch_size, mean=model.metadata["mean"], std=model.metadata["std"]
    )
    answer = {"run": run, "data": data, "split": split, "images": len(images)}
    answer |= {key: float(result[key]) for key in ("accuracy", "loss")}
    emit(
        answer,
        f"accuracy {answer['accuracy']:.2%}, loss {answer['loss']:.4f} on {len(images)} images",
        as_json,
    )
