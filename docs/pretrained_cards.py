"""The table of the weights that come with the package, from their cards."""

from __future__ import annotations

from spikedrive.cli.models import PRETRAINED, pretrained_row
from spikedrive.models import get_card, list_pretrained


def table() -> str:
    """Markdown, one row a file."""
    rows = []
    for name in list_pretrained():
        model, tag = name.split(".")
        cells = pretrained_row(name, get_card(model).weights[tag])
        rows.append([f"{c:.4g}" if isinstance(c, float) else "-" if c is None else str(c) for c in cells])
    return "\n".join(
        "| " + " | ".join(line) + " |" for line in [PRETRAINED, ["---"] * len(PRETRAINED), *rows]
    )
