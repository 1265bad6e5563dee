"""`spikedrive audit`: what a model multiplies, proven on its graph."""

from __future__ import annotations

from dataclasses import asdict
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
    table: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE.toml", help="The energy table of the rows; the totals are by all."),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(help="Exit with 1 where this audit, saved before, is not what the model gives now."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Save the audit as JSON.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Prove which multiplications are left.

    Each one is named with its file and line; additions and energy are counted by layer. PACKAGE.MODULE:BUILD
    is a torch module, or a function that gives one: of PyTorch, SpikingJelly, snnTorch, Norse or Sinabs.
    --check takes the other options that the audit was made with; --data measures it again.
    """
    from spikedrive.auditing import Audit, audit
    from spikedrive.blocks import SpikingModel, fuse
    from spikedrive.cli import target as targets

    certificate = None if check is None else Audit.load(check)
    if certificate is not None and (out is not None or batch_axis is not None):
        raise ConfigError(
            f"--check came with {'--out' if out is not None else '--batch-axis'}; it audits as {check} was made, and "
            "writes nothing. Leave it out."
        )
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
        count = samples if certificate is None else max(1, certificate.samples)
        seen = None if data is None else targets.normalised_images(model, data, "train", count)
        model = fuse(model, dense_separable=dense_separable) if fused or dense_separable else model
    elif any(given.values()):
        raise ConfigError(
            f"{target} is a {type(model).__name__} and came with {next(k for k, v in given.items() if v)}; that takes "
            "a model of this library. Leave it out."
        )
    given_input = inputs[0] if len(inputs) == 1 else inputs
    try:
        if certificate is not None:
            compared = certificate.check(model, given_input, data=seen, table=table)
            emit({**asdict(compared), "holds": compared.holds}, compared.text(), as_json)
            _enough(compared.verdict, require)
            raise typer.Exit(0 if compared.holds else 1)
        result = audit(model, given_input, data=seen, batch_axis=batch_axis, table=table or "45nm")
    except AuditError:
        targets.check_takes(model, inputs)
        raise
    if out is not None:
        result.save(out)
    emit(result.to_dict(), result.table_text(), as_json)
    _enough(result.verdict, require)


def _enough(verdict: str, require: str | None) -> None:
    if require is not None and VERDICTS.index(verdict) > VERDICTS.index(require):
        note(f"the verdict is {verdict}; {require} was required")
        raise typer.Exit(1)
