"""`spikedrive compile`: a trained model as an integer program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spikedrive.cli.output import JsonFlag, emit


def verb(
    run: Annotated[str, typer.Argument(metavar="RUN|CHECKPOINT", help="A run's folder or a checkpoint.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The program, an .sdx file.")],
    weight_bits: Annotated[int, typer.Option(min=2, max=8, help="Bits of a weight, sign included.")] = 8,
    verify: Annotated[
        str | None, typer.Option(help="Compare every neuron's integers with the fp64 twin on these images.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="How many of them.")] = 64,
    as_json: JsonFlag = False,
) -> None:
    """Turn a trained model into integers.

    The program is one file, which `spikedrive infer` runs with numpy alone.
    """
    from spikedrive.cli.target import example_input, images_for, load_trained
    from spikedrive.engine.lower import compile as lower

    model = load_trained(run)
    known = model.metadata
    program = lower(
        model,
        example_input(model),
        mean=known["mean"],
        std=known["std"],
        weight_bits=weight_bits,
        class_names=known["class_names"],
    )
    program.save(out)
    answer = {"program": str(out), "bytes": out.stat().st_size, "operations": len(program.ops)}
    if verify is None:
        emit(answer, f"{out}: {answer['operations']} operations, {answer['bytes']} bytes", as_json)
        return
    from spikedrive.engine import load
    from spikedrive.engine.verify import verify as compare

    images = images_for(model, verify, "test")
    found = compare(load(out), model, images.images[:samples], images.labels[:samples])
    emit(answer | found.to_dict(), f"{out}: {found.unequal} of {found.integers} integers differ from the fp64 twin's "
         f"on {found.images} images", as_json)  # fmt: skip
    if not found.equal:
        raise typer.Exit(1)
