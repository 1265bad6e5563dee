"""A live input on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from spikedrive.data.events import Events
from spikedrive.live.player import Played
from spikedrive.live.session import Answer
from spikedrive.live.view import Totals, picture

COLUMNS = 64
"""Characters of a picture's longer side at the most; one holds two rows of pixels."""
SHOWN = 8
_COLOURS = ("grey11", "#0072b2", "#e69f00", "white")
"""Of nothing, darker, brighter, both."""
_PREFIXES = ("", "m", "u", "n", "p", "f")


def screen(played: Played, answer: Answer, totals: Totals, names: Sequence[str]) -> RenderableType:
    """The events, the likeliest classes, and what it took."""
    board = Table.grid(padding=(0, 3))
    board.add_row(_picture(played.part.events), _scores(answer, names))
    return Group(board, Text(line(played, answer, totals)))


def line(played: Played, answer: Answer, totals: Totals) -> str:
    """What the answer took, in a line."""
    rate = "" if answer.firing_rate is None else f"rate {answer.firing_rate:.3f}  "
    spent = (
        f"{with_prefix(answer.joules)}J, {with_prefix(totals.joules or 0.0)}J so far" if answer.joules else ""
    )
    return (
        f"{played.part.end / 1e6:9.3f} s  {totals.events} events  {1e3 * answer.seconds:.2f} ms (p99 "
        f"{1e3 * totals.latency(0.99):.2f})  behind {1e3 * played.behind:.0f} ms  {rate}{spent}"
    )


def with_prefix(value: float) -> str:
    """Three digits and the prefix of the unit, as in '12.3 u'."""
    power = 0 if value <= 0 else min(5, max(0, int(np.ceil(-np.log10(value) / 3))))
    return f"{value * 1000**power:.3g} {_PREFIXES[power]}"


def _picture(events: Events) -> Text:
    seen = picture(events, COLUMNS)
    if len(seen) % 2:
        seen = np.vstack([seen, np.zeros((1, seen.shape[1]), np.uint8)])
    text = Text()
    for upper, lower in zip(seen[::2], seen[1::2], strict=True):
        for above, below in zip(upper, lower, strict=True):
            text.append("▀", style=f"{_COLOURS[above]} on {_COLOURS[below]}")
        text.append("\n")
    return text


def _scores(answer: Answer, names: Sequence[str]) -> Table:
    order = np.argsort(-answer.scores, kind="stable")
    # few classes stay where they are; of many the likeliest come first
    shown = order[:SHOWN] if len(names) > SHOWN else np.arange(len(names))
    table = Table.grid(padding=(0, 1))
    for k in map(int, shown):
        score = float(answer.scores[k])
        style = "bold" if k == order[0] else ""
        table.add_row(
            Text(names[k], style), Text("█" * round(24 * score), "#0072b2"), Text(f"{score:6.1%}", style)
        )
    return table
