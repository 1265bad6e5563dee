"""Tables of a report: each a function of artifact files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikedrive.auditing.energy import PRICES
from spikedrive.auditing.result import operations
from spikedrive.reports.artifacts import ARTIFACTS, exists, file_size, need, read_audit, read_json
from spikedrive.reports.style import percent, quantity, seconds


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
    sources: tuple[str, ...] = ()
    folded: str = ""
    wide: bool = False


def flat_table(file: Path, title: str, *, folded: str = "") -> Table:
    """Every entry of a JSON artifact, nested names joined by dots.

    *Raises*: DataError when the file is missing or damaged.
    """
    rows = tuple(flatten(read_json(file)).items())
    return Table(title, rows, sources=(file.name,), folded=folded)


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
        "In this folder",
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
    """What each kind of operation and of memory came to and cost by the table of the rows."""
    found = read_audit(audit)
    total, table = found.totals, found.table
    rows, named = [], 0.0
    for count, name in _OPERATIONS.items():
        each, times = table[PRICES[count]], total[count]
        if times:
            cost = (quantity(each, "J"), quantity(times * each, "J")) if each else ("not charged", "")
            rows.append((name, quantity(times), *cost))
            named += times * each
    energy = next((e for e in found.energies if e.table == table["name"]), None)
    if energy is not None and energy.memories:
        moved = quantity(total["bytes_read"] + total["bytes_written"], "B")
        charged = quantity(energy.memory_joules, "J") if energy.memory_joules else ""
        rows.append(("bytes read and written", moved, "by memory" if charged else "not charged", charged))
        named += energy.memory_joules
    # a table may charge what the audit's rows do not count
    if table["address"] or table["location"]:
        rows.append(("addresses of spikes", "", "", quantity(total["joules"] - named, "J")))
    rows += [
        ("spiking model", "", "", quantity(total["joules"], "J")),
        ("dense twin", f"{quantity(total['dense_macs'])} MACs", quantity(table["mac"], "J"),
         quantity(total["dense_joules"], "J")),
    ]  # fmt: skip
    says = (
        f"Table {table['name']} ({table['process']}, {table['precision']}), from {table['source']}. "
        f"Scope: {table['scope']}."
    )
    return Table(
        "Energy per sample", tuple(rows), ("operation", "count", "each", "energy"), (1, 2, 3), says=says,
        sources=(audit.name,), wide=True,
    )  # fmt: skip


_OPERATIONS = {
    "additions": "additions that spikes and integers cause",
    "multiplications": "multiplications",
    "functions": "functions (exp, roots)",
    "sums": "additions without a weight (shortcuts, biases)",
    "compares": "comparisons",
    "shifts": "shifts",
    "ands": "gates",
    "lookups": "lookups",
    "membrane_updates": "membrane updates",
}


def tables_table(audit: Path) -> Table:
    """The same model by every energy table, side by side."""
    rows = tuple(
        (
            e.table, e.precision, quantity(e.joules, "J"), quantity(e.memory_joules, "J"),
            quantity(e.dense_joules, "J"), f"{e.dense_joules / e.joules:.2f} x" if e.joules else "",
        )
        for e in read_audit(audit).energies
    )  # fmt: skip
    header = ("table", "precision", "spiking", "of it memory", "dense twin", "twin / spiking")
    return Table(
        "By every table", rows, header, (2, 3, 4, 5), sources=(audit.name,), wide=True,
        says="The tables disagree; each row is one of them throughout.",
    )  # fmt: skip


def sources_table(audit: Path) -> Table:
    """Where every energy table comes from, what it charges, and what its source does not give."""
    rows = tuple(
        (e.table, e.process, e.source, e.scope, "; ".join(e.derived)) for e in read_audit(audit).energies
    )
    header = ("table", "process", "source", "scope", "not in the source")
    folded = f"{len(rows)} tables"
    return Table("Where the tables come from", rows, header, sources=(audit.name,), folded=folded, wide=True)


def traffic_table(audit: Path) -> Table:
    """Bytes by memory and by kind of data, of the model and of its dense twin."""
    found = read_audit(audit)
    moved: dict[tuple[str, str], list[float]] = {}
    for row in found.layers:
        for first, streams in ((0, row.traffic), (2, row.dense_traffic)):
            for part in streams:
                sums = moved.setdefault((part.memory, part.holds), [0.0] * 4)
                sums[first] += part.read
                sums[first + 1] += part.written
    rows = tuple((*key, *(quantity(n, "B") for n in sums)) for key, sums in sorted(moved.items()))
    header = ("memory", "holds", "read", "written", "read by the twin", "written by the twin")
    steps = f" One step of {found.steps} moves a {found.steps}th of it on average." if found.steps > 1 else ""
    says = f"Bytes per sample, with the widths and memories of the table {found.table['name']}.{steps}"
    return Table("Bytes by memory", rows, header, (2, 3, 4, 5), says=says, sources=(audit.name,), wide=True)


def layers_table(audit: Path) -> Table:
    """Everything that the audit counted, one row an operation."""
    header = ("module", "kind", "meets", "density", "dense MACs", "additions", "multiplications", "energy",
              "dense energy", "range", "bits")  # fmt: skip
    rows = tuple(
        (
            row.module or "(model)", row.kind, row.domain, "" if row.density is None else percent(row.density, 1),
            quantity(row.dense_macs), quantity(row.additions), quantity(row.multiplications + row.functions),
            quantity(row.joules, "J"), quantity(row.dense_joules, "J"), _range(row.low, row.high), _text(row.bits),
        )
        for row in read_audit(audit).layers
    )  # fmt: skip
    return Table(
        "Every operation", rows, header, tuple(range(3, 11)), sources=(audit.name,), folded=f"{len(rows)} operations",
        wide=True,
    )  # fmt: skip


def deployed_table(audit: Path) -> Table:
    """The verdict on the model as deployed, with every exception."""
    return _exceptions(audit, "As deployed")


def trained_table(audit: Path) -> Table:
    """The verdict on the model as trained, with every exception."""
    return _exceptions(audit, "As trained")


def _exceptions(path: Path, title: str) -> Table:
    audit = read_audit(path)
    rows = tuple(
        (
            left.module or "(model)", left.kind, f"{left.file}:{left.line}", quantity(left.count + left.functions),
            left.why, left.replacement,
        )
        for left in audit.exceptions
    )  # fmt: skip
    says = (
        f"Verdict: {audit.verdict}. Analog first layer: {', '.join(audit.analog) or 'none'}. "
        + (f"{operations(len(rows))} elsewhere." if rows else "No multiplication is left elsewhere.")
        + f" (Graph {audit.graph_hash[:12]}, rules version {audit.rules_version}.)"
    )
    header = ("module", "operation", "where", "per sample", "why", "instead") if rows else ()
    return Table(title, rows, header, (3,), says=says, sources=(path.name,), wide=True)


def verification_table(verify: Path) -> Table:
    """What the integer program was compared with, and what came out."""
    found = read_json(verify)
    need(verify, found, *_COMPARED, "equal", "unequal_neurons")
    rows = [(name, _text(found[key])) for key, name in _COMPARED.items()]
    rows += [(f"unequal in {path}", f"{count:,}") for path, count in found["unequal_neurons"].items()]
    says = (
        "Every integer of every neuron and every logit was compared with those of the quantised twin, which runs the "
        "model's own code in fp64: " + ("all are equal." if found["equal"] else "some differ.")
    )
    return Table("The program against its twin", tuple(rows), numeric=(1,), says=says, sources=(verify.name,))


_COMPARED = {
    "images": "images",
    "neurons": "neuron layers",
    "integers": "integers compared",
    "unequal": "integers that differ",
    "logits_equal": "all logits equal",
    "weight_bits": "bits of a weight",
    "accuracy_fp32": "accuracy of the fp32 model",
    "accuracy_program": "accuracy of the program",
    "points_lost": "percentage points lost",
    "agreement": "same answer as fp32",
}


def timings_table(run: Path) -> Table:
    """How long training and each engine took, and on what; rows whose file is not there yet are left out."""
    rows, sources = [], []
    if exists(run, "metrics.json") and exists(run, "environment.json"):
        metrics, place = read_json(run / "metrics.json"), read_json(run / "environment.json")
        need(run / "metrics.json", metrics, "seconds", "samples_per_s")
        need(run / "environment.json", place, "device", "threads", "processes")
        where = f"PyTorch, {place['device']}, {place['processes']} x {place['threads']} threads"
        rows.append(("training", where, seconds(metrics["seconds"]), f"{metrics['samples_per_s']:,.0f}"))
        sources += ["metrics.json", "environment.json"]
    if exists(run, "verify.json"):
        found = read_json(run / "verify.json")
        need(run / "verify.json", found, "images", "seconds")
        for key, (what, where) in _ENGINES.items():
            if taken := found["seconds"].get(key):
                rows.append((what, where, seconds(taken), f"{found['images'] / taken:,.0f}"))
        sources.append("verify.json")
    return Table(
        "What ran where", tuple(rows), ("what", "on", "time", "images/s"), (2, 3), sources=tuple(sources), wide=True,
        says="The program's time includes keeping every neuron's integers for the comparison.",
    )  # fmt: skip


_ENGINES = {
    "program": ("integer program on the test images", "engine, CPU"),
    "twin": ("quantised twin on the test images", "PyTorch fp64, CPU"),
    "fp32": ("trained model on the test images", "PyTorch, CPU"),
}


def bounds_table(verify: Path) -> Table:
    """How far the integers of each operation can go, and the bits that hold them."""
    found = read_json(verify)
    need(verify, found, "bounds")
    rows = tuple(
        (
            row["module"],
            row["operation"],
            f"{row['low']:,}",
            f"{row['high']:,}",
            f"{row['peak']:,}",
            f"{row['bits']}",
        )
        for row in found["bounds"]
    )
    widest = max((row["bits"] for row in found["bounds"]), default=0)
    return Table(
        "Proven bounds", rows, ("module", "operation", "lowest", "highest", "peak of a sum", "bits"), (2, 3, 4, 5),
        says=f"Whatever the image, no integer of the program needs more than {widest} bits.", sources=(verify.name,),
        folded=f"{len(rows)} operations",
    )  # fmt: skip


def environment_table(environment: Path) -> Table:
    """Versions, machine, commit, seed and threads."""
    return flat_table(environment, "Where it ran")


def recipe_table(recipe: Path) -> Table:
    """Everything that decided how the run trained."""
    return flat_table(recipe, "Recipe")


def _text(value: Any) -> str:
    """A value for a cell.

    >>> _text(True), _text(None), _text(12345), _text(0.98765)
    ('yes', '', '12,345', '0.9877')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"


def _range(low: float | None, high: float | None) -> str:
    return f"{'-∞' if low is None else f'{low:.4g}'} to {'∞' if high is None else f'{high:.4g}'}"
