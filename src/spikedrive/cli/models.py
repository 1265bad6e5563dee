"""`spikedrive models`: what can be built."""

from __future__ import annotations

from typing import Annotated

import typer

from spikedrive.cli.output import JsonFlag, emit, table


def verb(
    pattern: Annotated[str, typer.Argument(help="A shell pattern, as in 'meta_spikeformer_*'.")] = "*",
    as_json: JsonFlag = False,
) -> None:
    """List the models, with the audit's verdicts."""
    from spikedrive.errors import unknown_name
    from spikedrive.models import get_card, list_models

    names = list_models(pattern)
    if not names:
        raise unknown_name("model", pattern, list_models("*"))
    cards = [get_card(name) for name in names]
    header = ["model", "params", "input", "size", "T", "D", "as released", "repaired"]
    rows = [
        [
            c.name,
            c.params,
            c.input,
            tuple(c.input_size),
            c.steps,
            c.levels,
            c.verdict_released,
            c.verdict_repaired,
        ]
        for c in cards
    ]
    emit([dict(zip(header, row, strict=True)) for row in rows], table(header, rows), as_json)
