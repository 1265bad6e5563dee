"""`spikedrive show`: one model's card."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from spikedrive.cli.models import over_seeds
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
    from spikedrive.errors import unknown_name
    from spikedrive.models import get_card, list_models, list_pretrained

    name, dot, tag = model.partition(".")
    if not dot or name not in list_models():
        card = dataclasses.asdict(get_card(model))
        # each of these cards is a page of its own
        short = {key: f"spikedrive show {model}.{key}" for key in card["weights"]}
        emit(card, table(["field", "value"], _lines(card | {"weights": short})), as_json)
        return
    if model not in list_pretrained():
        raise unknown_name("file of weights", model, list_pretrained())
    card = get_card(name).weights[tag]
    spread = [["over seeds", over_seeds(card)]] if len(card["runs"]) > 1 else []
    emit(card, table(["field", "value"], [*spread, *_lines(card)]), as_json)


def _lines(card: Mapping[str, Any], prefix: str = "") -> Iterator[list[Any]]:
    """A line for every figure, however deep it stands: `audit.density_by_layer.head.linear`, `runs.0.accuracy`."""
    for key, value in card.items():
        inner = (
            dict(enumerate(value))
            if isinstance(value, list) and value and isinstance(value[0], dict)
            else value
        )
        if isinstance(inner, Mapping) and inner:
            yield from _lines({str(k): v for k, v in inner.items()}, f"{prefix}{key}.")
        else:
            # an empty table and an empty list hold nothing; a number 0 does
            yield [f"{prefix}{key}", None if value in ("", [], {}, ()) else value]
