"""`spikedrive compile`: a trained model as an integer program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spikedrive.cli.output import JsonFlag, emit, note


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
    from spikedrive.blocks import fuse
    from spikedrive.cli.target import example_input, load_checkpoint
    from spikedrive.data import load_images
    from spikedrive.engine.lower import compile as lower

    model = load_checkpoint(run)
    known = model.metadata
    program = lower(
        fuse(model, dense_separable=True),
        example_input(model),
        mean=known["mean"],
        std=known["std"],
        weight_bits=weight_bits,
        class_names=known["class_names"],
    )
    program.save(out)
