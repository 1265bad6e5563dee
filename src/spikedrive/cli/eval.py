"""`spikedrive eval`: accuracy of a trained classifier, perplexity of a trained language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spikedrive.cli.output import JsonFlag, emit

if TYPE_CHECKING:
    from spikedrive.blocks import SpikingModel


def verb(
    run: Annotated[str, typer.Argument(metavar="RUN|CHECKPOINT", help="A run's folder or a checkpoint.")],
    data: Annotated[
        str,
        typer.Option(
            help="A folder of class folders, an .npz, an idx folder or a bundled name; for text a folder or a name."
        ),
    ],
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which part of the data.")] = "test",
    batch_size: Annotated[int, typer.Option(min=1, help="Images or windows of text at a time.")] = 128,
    as_json: JsonFlag = False,
) -> None:
    """Measure accuracy on images with labels, or bits a byte and perplexity on text."""
    from spikedrive.cli.target import checkpoint_path, images_for, load_trained
    from spikedrive.models import load_model
    from spikedrive.training import evaluate

    loaded = load_model(checkpoint_path(run))
    if loaded.input == "tokens":
        _perplexity(loaded, run, data, split, batch_size, as_json)
        return
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


def _perplexity(model: SpikingModel, run: str, data: str, split: str, batch_size: int, as_json: bool) -> None:
    from spikedrive.data.text import load_tokens, open_tokenizer
    from spikedrive.training import evaluate_text

    known = model.metadata
    tokens = load_tokens(data, split, open_tokenizer(known.get("tokenizer", "bytes")))
    found = evaluate_text(model, tokens, context=int(known.get("context", 256)), batch_size=batch_size)
    emit(
        {"run": run, "data": data, "split": split, **found},
        f"{found['bits_per_byte']:.4f} bits a byte, perplexity {found['perplexity']:.3f} on {found['tokens']} tokens",
        as_json,
    )
