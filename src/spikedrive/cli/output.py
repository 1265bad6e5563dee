"""What the verbs print: a table for people, one JSON document for programs, one line for an error."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def emit(data: Any, text: str, as_json: bool) -> None:
    """Print `data` as JSON, or `text` for people."""
    typer.echo(json.dumps(plain(data), indent=2, allow_nan=False) if as_json else text)


def fail(error: object) -> int:
    """Say what is wrong on one line of stderr; gives the exit code of bad input."""
    typer.echo("error: " + " ".join(str(error).split()), err=True)
    return 2


def note(text: str) -> None:
    """Say what is going on, where it does not mix with the answer."""
    typer.echo(text, err=True)


def on_terminal() -> bool:
    """Whether what is printed goes to a terminal, which takes some characters for commands."""
    return sys.stdout.isatty()


def shown(text: str) -> str:
    """A text of others as it may be printed: on a terminal its control characters are written out.

    Line ends and tabs stay.
    """
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text) if on_terminal() else text


def plain(value: Any) -> Any:
    """`value` in the types that JSON has; NaN and infinity become null.

    >>> plain({"loss": float("nan"), "shape": (1, 28, 28)})
    {'loss': None, 'shape': [1, 28, 28]}
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, Iterable):
        return [plain(v) for v in value]
    return str(value)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as their longest cell; numbers to the right.

    >>> print(table(["model", "params"], [["nano", 89034], ["8_384", 16816536]]))
    model    params
    nano      89034
    8_384  16816536
    """
    body = [list(row) for row in rows]
    cells = [[_cell(c) for c in row] for row in body]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    numeric = [
        bool(body) and all(_is_number(row[i]) or row[i] is None for row in body) for i in range(len(header))
    ]
    lines = [
        "  ".join(
            c.rjust(w) if right else c.ljust(w) for c, w, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in [list(header), *cells]
    ]
    return "\n".join(lines)


def best_names(logits: Any, class_names: Sequence[str], top: int) -> dict[str, Any]:
    """The `top` classes with the largest logits, and their softmax scores.

    >>> best_names([0.0, 3.0, 1.0], ["cat", "dog", "emu"], 2)
    {'names': ['dog', 'emu'], 'scores': [0.8438, 0.1142]}
    """
    values = [float(v) for v in logits]
    powers = [math.exp(v - max(values)) for v in values]
    order = sorted(range(len(values)), key=lambda i: -values[i])[:top]
    names = list(class_names) or [str(i) for i in range(len(values))]
    return {"names": [names[i] for i in order], "scores": [round(powers[i] / sum(powers), 4) for i in order]}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
