"""`spikedrive models`: what can be built."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean, stdev
from typing import Annotated, Any

import typer

from spikedrive.cli.output import JsonFlag, emit, table

PRETRAINED = (
    "weights", "params", "KB", "accuracy, %", "bar, %", "seeds", "ReLU twin, %", "density", "additions",
    "energy, J", "twin's, J", "verdict",
)  # fmt: skip


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
    audit, accuracies = card["audit"], [run["accuracy"] for run in card["runs"]]
    twin, bar = card["twin"]["accuracy"] if card["twin"] else None, card["bar"]
    return [
        name, card["params"], card["bytes"] // 1000, spread(accuracies),
        f"{100 * bar['accuracy']:g} {'met' if bar['met'] else 'missed'}", len(accuracies),
        None if twin is None else f"{100 * twin:.2f}", audit["density"], audit["additions"], audit["joules"],
        audit["dense_joules"], audit["verdict"],
    ]  # fmt: skip


def spread(shares: list[float]) -> str:
    """Mean and standard deviation over seeds, in percent.

    >>> spread([0.92, 0.93]), spread([0.92])
    ('92.50 ± 0.71', '92.00')
    """
    percent = [100 * share for share in shares]
    width = f" ± {stdev(percent):.2f}" if len(percent) > 1 else ""
    return f"{mean(percent):.2f}{width}"
