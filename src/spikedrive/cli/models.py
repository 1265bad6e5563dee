"""`spikedrive models`: what can be built."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean, stdev
from typing import Annotated, Any

import typer

from spikedrive.cli.output import JsonFlag, emit, table

PRETRAINED = (
    "weights", "params", "KB", "result", "bar", "seeds", "dense twin", "density", "additions", "energy, J",
    "twin's, J", "verdict",
)  # fmt: skip

MEASURES = {"accuracy": (100.0, "%", "at least"), "bits_per_byte": (1.0, "bits a byte", "at most")}
"""What a card's figure is multiplied by, its unit, and on which side of the bar it is good."""


def verb(
    pattern: Annotated[str, typer.Argument(help="A shell pattern, as in 'meta_spikeformer_*'.")] = "*",
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Only the weights that come with the package, as measured.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """List the models, with the audit's verdicts."""
    from spikedrive.errors import unknown_name
    from spikedrive.models import get_card, list_models

    names = list_models(pattern)
    if not names:
        raise unknown_name("model", pattern, list_models("*"))
    cards = [get_card(name) for name in names]
    if pretrained:
        measured = {f"{c.name}.{tag}": card for c in cards for tag, card in c.weights.items()}
        emit(
            measured,
            table(PRETRAINED, [pretrained_row(name, card) for name, card in measured.items()]),
            as_json,
        )
        return
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


def pretrained_row(name: str, card: Mapping[str, Any]) -> list[Any]:
    """What the list says of one file, in the order of `PRETRAINED`."""
    audit, bar = card["audit"], card["bar"]
    key = _measure_of(card)
    scale, _, side = MEASURES[key]
    twin = card["twin"][key] if card["twin"] else None
    return [
        name, card["params"], card["bytes"] // 1000,
        over_seeds(card),
        f"{side} {scale * bar[key]:g} {'met' if bar['met'] else 'missed'}", len(card["runs"]),
        None if twin is None else f"{scale * twin:.2f}", audit["density"], audit["additions"], audit["joules"],
        audit["dense_joules"], audit["verdict"],
    ]  # fmt: skip


def over_seeds(card: Mapping[str, Any]) -> str:
    """What a card's runs reached, with its unit."""
    key = _measure_of(card)
    scale, unit, _ = MEASURES[key]
    return f"{spread([run[key] for run in card['runs']], scale)} {unit}"


def _measure_of(card: Mapping[str, Any]) -> str:
    return next(key for key in MEASURES if key in card)


def spread(figures: list[float], scale: float = 100.0) -> str:
    """Mean and standard deviation over seeds; shares in percent.

    >>> spread([0.92, 0.93]), spread([0.92]), spread([2.31, 2.33], 1)
    ('92.50 ± 0.71', '92.00', '2.32 ± 0.01')
    """
    scaled = [scale * figure for figure in figures]
    width = f" ± {stdev(scaled):.2f}" if len(scaled) > 1 else ""
    return f"{mean(scaled):.2f}{width}"
