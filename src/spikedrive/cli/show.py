"""`spikedrive show`: one model's card."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from spikedrive.cli.output import JsonFlag, emit, table


def verb(
    model: Annotated[str, typer.Argument(help="A name that `spikedrive models` lists.")],
    as_json: JsonFlag = False,
) -> None:
    """Show a model's card.

    Paper, sizes, published and measured figures, verdicts, weights, licence.
    """
    from spikedrive.models import get_card

    card = dataclasses.asdict(get_card(model))
    lines = []
    for name, value in card.items():
        nested = value if isinstance(value, dict) and value else None
        lines += [[f"{name}.{k}", v] for k, v in nested.items()] if nested else [[name, value or None]]
    emit(card, table(["field", "value"], lines), as_json)
