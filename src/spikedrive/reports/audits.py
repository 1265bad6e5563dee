"""What a report reads of an audit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikedrive.reports.artifacts import need, read_json


@dataclass(frozen=True)
class Row:
    """The cost of one module for one sample; energy in joules."""

    module: str
    dense_macs: float
    additions: float
    multiplications: float
    joules: float
    dense_joules: float


def read_audit(path: Path) -> dict[str, Any]:
    """The audit in a file.

    *Raises*: DataError when it is missing, damaged or lacks a part.
    """
    audit = read_json(path)
    need(path, audit, "verdict", "analog", "exceptions", "layers", "totals", "table")
    return audit


def merge_rows(audit: dict[str, Any]) -> list[Row]:
    """One row for each module that computes with weights or mixes tokens, in order; the rest in a last one."""
    by_module: dict[str, list[dict[str, Any]]] = {}
    for layer in audit["layers"]:
        synaptic = layer["dense_macs"] > 0 or layer["multiplications"] > 0
        by_module.setdefault(layer["module"] if synaptic else REST, []).append(layer)
    rest = by_module.pop(REST, [])
    rows = [_sum(module, layers) for module, layers in by_module.items()]
    if any(layer["additions"] for layer in rest):
        rows.append(_sum(REST, rest))
    return rows


REST = "neurons and shortcuts"


def _sum(module: str, layers: list[dict[str, Any]]) -> Row:
    keys = ("dense_macs", "additions", "multiplications", "joules", "dense_joules")
    return Row(module, **{key: sum(layer[key] for layer in layers) for key in keys})
