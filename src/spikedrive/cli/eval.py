"""`spikedrive eval`: accuracy of a trained classifier, perplexity of a trained language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spikedrive.cli.output import JsonFlag, emit
from spikedrive.errors import ConfigError

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
    tokenizer: Annotated[
        str | None, typer.Option(help="'bytes' or a tokenizer.json, in place of the checkpoint's own copy.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure accuracy on images with labels, or bits a byte and perplexity on text."""
    from spikedrive.cli.target import checkpoint_path, images_for, load_trained
    from spikedrive.models import load_model
    from spikedrive.training import evaluate

    loaded = load_model(checkpoint_path(run))
    if loaded.input == "tokens":
        _perplexity(loaded, run, data, split, batch_size, tokenizer, as_json)
        return
    if tokenizer is not None:
        raise ConfigError(f"{run} takes images; --tokenizer is about text. Leave it out.")
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


def _perplexity(
    model: SpikingModel,
    run: str,
    data: str,
    split: str,
    batch_size: int,
    tokenizer: str | None,
    as_json: bool,
) -> None:
    from spikedrive.cli.language import open_tokenizer_of
    from spikedrive.data.text import load_tokens
    from spikedrive.training import evaluate_text

    tokens = load_tokens(data, split, open_tokenizer_of(model, tokenizer))
    context = int(model.metadata.get("context", 256))
    found = evaluate_text(model, tokens, context=context, batch_size=batch_size)
    emit(
        {"run": run, "data": data, "split": split, **found},
        f"{found['bits_per_byte']:.4f} bits a byte, perplexity {found['perplexity']:.3f} on {found['tokens']} tokens",
        as_json,
    )
