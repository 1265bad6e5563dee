"""`spikedrive audit`: what a model multiplies, proven on its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from spikedrive.cli.output import JsonFlag, emit, note

# from the strictest to what anything satisfies
VERDICTS = ("additive", "gated-additive", "hybrid")


def verb(
    target: Annotated[str, typer.Argument(metavar="MODEL|RUN|CHECKPOINT", help="What to audit.")],
    fused: Annotated[
        bool, typer.Option("--fused", help="Fold BN and RepConv first, as it is deployed.")
    ] = False,
    dense_separable: Annotated[
        bool,
        typer.Option(
            "--dense-separable", help="Fuse depthwise and pointwise convolutions too; implies --fused."
        ),
    ] = False,
    as_released: Annotated[
        bool, typer.Option("--as-released", help="The model exactly as it was published.")
    ] = False,
    data: Annotated[str | None, typer.Option(help="Measure the density on these images.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="How many of them.")] = 64,
    require: Annotated[
        Literal["additive", "gated-additive", "hybrid"] | None,
        typer.Option(help="Exit with 1 where the verdict is weaker than this."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Save the audit as JSON.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Prove which multiplications are left.

    Each one is named with its file and line; additions and energy are counted by layer.
    """
    from spikedrive.auditing import audit
    from spikedrive.blocks import fuse
    from spikedrive.cli.target import example_input, load_target, normalised_images

    model = load_target(target, as_released=as_released)
    seen = None if data is None else normalised_images(model, data, "train", samples)
    if fused or dense_separable:
        model = fuse(model, dense_separable=dense_separable)
    result = audit(model, example_input(model), data=seen)
    if out is not None:
        result.save(out)
    emit(result.to_dict(), result.table_text(), as_json)
    if require is not None and VERDICTS.index(result.verdict) > VERDICTS.index(require):
        note(f"the verdict is {result.verdict}; {require} was required")
        raise typer.Exit(1)
