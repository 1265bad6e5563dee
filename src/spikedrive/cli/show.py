"""`spikedrive show`: one model's card."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from spikedrive.cli.output import JsonFlag, emit, table


def verb(
    model: Annotated[
        str, typer.Argument(help="A name that `spikedrive models` lists, with --pretrained or without.")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Show the card of a model, or of weights that come with the package.

    Paper, sizes, published and measured figures, verdicts, weights, licence.
    """
    from spikedrive.models import get_card, list_pretrained

    name, _, tag = model.partition(".")
    card = get_card(name).weights[tag] if model in list_pretrained() else dataclasses.asdict(get_card(model))
    lines = []
    for name, value in card.items():
        nested = value if isinstance(value, dict) and value else None
        lines += [[f"{name}.{k}", v] for k, v in nested.items()] if nested else [[name, value or None]]
    emit(card, table(["field", "value"], lines), as_json)
