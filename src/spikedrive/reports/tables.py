"""Tables of a report: each a function of artifact files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikedrive.reports.artifacts import ARTIFACTS, file_size, read_json
from spikedrive.reports.audits import read_audit
from spikedrive.reports.style import percent, quantity


@dataclass(frozen=True)
class Table:
    """Rows of text with what a reader needs beside them; `numeric` columns stand to the right.

    `folded`, where given, is the line behind which the rows are hidden at first.
    """

    title: str
    rows: tuple[tuple[str, ...], ...] = ()
    header: tuple[str, ...] = ()
    numeric: tuple[int, ...] = ()
    says: str = ""
    source: str = ""
    folded: str = ""
    wide: bool = False


def flat_table(file: Path, title: str, *, folded: str = "") -> Table:
    """Every entry of a JSON artifact, nested names joined by dots.

    *Raises*: DataError when the file is missing or damaged.
    """
    rows = tuple(flatten(read_json(file)).items())
    return Table(title, rows, source=file.name, folded=folded)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested entries as dotted names and text; what is empty or None is left out.

    >>> flatten({"seed": 0, "machine": {"cores": 2, "gpu": None}, "size": [1, 28, 28]})
    {'seed': '0', 'machine.cores': '2', 'size': '[1, 28, 28]'}
    """
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{key}.")
        elif value is not None and value != "" and value != []:
            found[prefix + key] = value if isinstance(value, str) else json.dumps(value)
    return found


def files_table(run: Path, *, without: str) -> Table:
    """Every file of the run with its size and what it holds; `without` is the page itself."""
    rows = []
    for path in sorted(p for p in run.rglob("*") if p.is_file() and not p.name.startswith(".")):
        name = path.relative_to(run).as_posix()
        if name != without:
            holds = ARTIFACTS[name].holds if name in ARTIFACTS else _OTHERS.get(name.partition("/")[0], "")
            rows.append((name, holds, file_size(path.stat().st_size)))
    return Table(
        "Files",
        tuple(rows),
        ("file", "holds", "size"),
        (2,),
        says="Everything above was drawn from these.",
        wide=True,
    )


_OTHERS = {
    "tensorboard": "the same log for TensorBoard",
    "checkpoints": "weights, and what a killed run goes on from",
}


def energy_table(audit: Path) -> Table:
    """The price of each operation that the energies were computed with, and where it stands."""
    table = read_audit(audit)["table"]
    rows = tuple((name, quantity(value, "J")) for name, value in table["values"].items())
    return Table(
        f"Energy table: {table['name']}", rows, ("operation", "energy"), (1,), says=f"Source: {table['source']}.",
        source=audit.name,
    )  # fmt: skip


def layers_table(audit: Path) -> Table:
    """Everything that the audit counted, one row an operation."""
    layers = read_audit(audit)["layers"]
    header = ("module", "operation", "operand", "density", "dense MACs", "additions", "multiplications", "energy",
              "dense energy", "range", "bits")  # fmt: skip
    rows = tuple(
        (
            layer["module"], layer["op"], str(layer["domain"]),
            "" if layer["density"] is None else percent(layer["density"], 1),
            quantity(layer["dense_macs"]), quantity(layer["additions"]), quantity(layer["multiplications"]),
            quantity(layer["joules"], "J"), quantity(layer["dense_joules"], "J"),
            f"{layer['low']:g} to {layer['high']:g}" if layer["low"] is not None else "", str(layer["bits"] or ""),
        )
        for layer in layers
    )  # fmt: skip
    return Table("Every operation", rows, header, tuple(range(3, 11)), source=audit.name,
                 folded=f"{len(rows)} operations", wide=True)  # fmt: skip


def deployed_table(audit: Path) -> Table:
    """The verdict on the model as deployed, with every exception."""
    return _exceptions(audit, "As deployed")


def trained_table(audit: Path) -> Table:
    """The verdict on the model as trained, with every exception."""
    return _exceptions(audit, "As trained")


def _exceptions(path: Path, title: str) -> Table:
    audit = read_audit(path)
    analog = ", ".join(audit["analog"]) or "none"
    rows = tuple(
        (
            found["module"], found["op"], f"{found['file']}:{found['line']}", quantity(found["count"]), found["why"],
            found["replacement"] or "",
        )
        for found in audit["exceptions"]
    )  # fmt: skip
    says = f"Verdict: {audit['verdict']}. Analog first layer: {analog}. " + (
        f"{len(rows)} exceptions:" if rows else "No multiplication is left elsewhere."
    )
    header = ("module", "operation", "where", "per sample", "why", "instead") if rows else ()
    return Table(title, rows, header, (3,), says=says, source=path.name, wide=bool(rows))


def verification_table(verify: Path) -> Table:
    """What the integer program was compared with, and what came out."""
    return flat_table(verify, "The program against its twin")


def environment_table(environment: Path) -> Table:
    """Versions, machine, commit, seed and threads."""
    return flat_table(environment, "Environment")


def recipe_table(recipe: Path) -> Table:
    """Everything that decided how the run trained."""
    return flat_table(recipe, "Recipe")
