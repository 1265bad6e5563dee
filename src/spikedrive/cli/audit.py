"""`spikedrive audit`: what a model multiplies, proven on its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from spikedrive.cli.output import JsonFlag, emit, note
from spikedrive.errors import AuditError, ConfigError

# from the strictest to what anything satisfies
VERDICTS = ("additive", "gated-additive", "hybrid")


def verb(
    target: Annotated[
        str, typer.Argument(metavar="MODEL|RUN|CHECKPOINT|PACKAGE.MODULE:BUILD", help="What to audit.")
    ],
    example: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SHAPE[:DTYPE]",
            help="An input, such as 1,3,32,32 or 1,16:int64; once for each input of PACKAGE.MODULE:BUILD.",
        ),
    ] = None,
    batch_axis: Annotated[
        int | None, typer.Option(min=0, help="The axis of samples: 0, or 1 where steps come first.")
    ] = None,
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

    Each one is named with its file and line; additions and energy are counted by layer. PACKAGE.MODULE:BUILD
    is a torch module, or a function that gives one: of PyTorch, SpikingJelly, snnTorch, Norse or Sinabs.
    """
    from spikedrive.auditing import audit
    from spikedrive.blocks import SpikingModel, fuse
    from spikedrive.cli import target as targets

    if targets.is_imported(target):
        model, inputs = targets.load_imported(target), targets.example_inputs(example or ())
    else:
        model = targets.load_target(target, as_released=as_released)
        inputs = targets.example_inputs(example) if example else (targets.example_input(model),)
    given = {
        "--fused": fused,
        "--dense-separable": dense_separable,
        "--as-released": as_released,
        "--data": data,
    }
    seen = None
    if isinstance(model, SpikingModel):
        seen = None if data is None else targets.normalised_images(model, data, "train", samples)
        model = fuse(model, dense_separable=dense_separable) if fused or dense_separable else model
    elif any(given.values()):
        raise ConfigError(
            f"{target} is a {type(model).__name__} and came with {next(k for k, v in given.items() if v)}; that takes "
            "a model of this library. Leave it out."
        )
    try:
        result = audit(model, inputs[0] if len(inputs) == 1 else inputs, data=seen, batch_axis=batch_axis)
    except AuditError:
        targets.check_takes(model, inputs)
        raise
    if out is not None:
        result.save(out)
    emit(result.to_dict(), result.table_text(), as_json)
    if require is not None and VERDICTS.index(result.verdict) > VERDICTS.index(require):
        note(f"the verdict is {result.verdict}; {require} was required")
        raise typer.Exit(1)
