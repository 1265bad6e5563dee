"""Whether a saved audit is that of a model: audit again, and say exactly what differs."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import Tensor, nn

from spikedrive.auditing.energy import TABLES, EnergyTable, Traffic, table_of
from spikedrive.auditing.result import BYTES, COUNTS, Audit, LayerRow, MemoryUse, Remaining, totals_of
from spikedrive.auditing.verdict import RULES_VERSION, audit, data_hash
from spikedrive.errors import ConfigError, FormatError
from spikedrive.ops.domain import Domain

TOLERANCE = 1e-4
"""How far, as a share, figures measured on data may lie apart: another machine's rounding can flip a spike."""

EXACT = 1e-9
"""How far, as a share, sums of proven figures may lie apart, for the order of additions."""

# what the data decide; everything else in a row follows from the graph
MEASURED = (
    "additions", "joules", "bytes_read", "bytes_written", "density", "firing_rate", "traffic",
)  # fmt: skip
# where a line of code stands does not change what it computes
PLACES = ("file", "line", "module")


@dataclass(frozen=True)
class Check:
    """What a certificate and a fresh audit of the model disagree on.

    `differences` has one sentence for each; the certificate `holds` where there is none. `unchecked` says what
    could not be computed again, and what to give so that it can. `assumed` are the domains that the certificate
    takes the inputs to have.
    """

    model: str
    verdict: str
    assumed: str
    differences: tuple[str, ...]
    unchecked: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    def text(self) -> str:
        """The answer for a terminal."""
        if self.holds:
            head = f"the certificate holds: {self.model} is {self.verdict}{self.assumed}"
        else:
            head = f"the certificate is refused, this differs ({len(self.differences)}):"
        return "\n".join(
            [
                head,
                *(f"  {line}" for line in self.differences),
                *(f"  not checked: {u}" for u in self.unchecked),
            ]
        )


def check_certificate(
    certificate: Audit,
    model: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    *,
    data: Tensor | tuple[Tensor, ...] | None = None,
    table: str | os.PathLike[str] | EnergyTable | None = None,
) -> Check:
    """Audit `model` again, on the same `data` where the certificate was measured, and compare.

    What the graph decides must be equal: its hash, the rules' version, the energy table, the verdict, the analog
    layers, every exception, every count. What was measured must agree within `TOLERANCE`. Without the data a
    measured certificate is checked against itself and against the worst case. `table` is needed for a table of
    one's own.

    Raises: AuditError and others that `audit` raises on this model.
    """
    found: list[str] = []
    name = str(certificate.table["name"])
    if table is None and name not in TABLES:
        found.append(
            f"table: {name!r} is not among the registered {', '.join(TABLES)}; give its file as the table"
        )
    given = () if data is None else tuple(data) if isinstance(data, (tuple, list)) else (data,)
    same = certificate.basis == "measured" and data_hash(given) == certificate.data_hash
    if given and certificate.basis == "measured" and not same:
        found.append(
            f"data: measured on {certificate.samples} samples of hash {certificate.data_hash[:12]}, and those given "
            f"have {data_hash(given)[:12]}; other samples, number or preparation"
        )
    fresh = audit(
        model, example, data=given if same else None, inputs=_domains(certificate),
        table=table_of(table if table is not None else name if name in TABLES else "45nm"),
        batch_axis=certificate.batch_axis,
    )  # fmt: skip
    known = table is not None or name in TABLES
    if certificate.rules_version != RULES_VERSION:
        found.append(f"rules: version {certificate.rules_version}, and this audit has {RULES_VERSION}")
    if certificate.model != fresh.model:
        found.append(f"model: {certificate.model}, and this is {fresh.model}")
    if certificate.graph_hash != fresh.graph_hash:
        found.append(
            f"graph: {certificate.graph_hash[:12]}, and the model's is {fresh.graph_hash[:12]}: other weights, another "
            "architecture, example or fusing"
        )
    if known and certificate.table != fresh.table:
        keys = [
            k for k in {**certificate.table, **fresh.table} if certificate.table.get(k) != fresh.table.get(k)
        ]
        found.append(f"table: {name!r} differs in {', '.join(keys)}")
    if certificate.verdict != fresh.verdict:
        found.append(f"verdict: {certificate.verdict}, and the model is {fresh.verdict}")
    found += _analog(certificate, fresh) + _exceptions(certificate, fresh)
    # what follows would repeat the first difference a hundred times
    if certificate.graph_hash == fresh.graph_hash and certificate.rules_version == RULES_VERSION and known:
        found += _rows(certificate, fresh) + _sums(certificate) + _energies(certificate, fresh)
        found += _steps(certificate, fresh)
    return Check(fresh.model, fresh.verdict, fresh.assumed, tuple(found), _unchecked(certificate, fresh))


def _domains(certificate: Audit) -> list[Domain | None]:
    try:
        return [None if given is None else Domain(**given) for given in certificate.inputs]
    except (TypeError, ConfigError) as error:
        raise FormatError(
            f"The certificate declares the inputs {certificate.inputs!r}; it takes low, high and scale of each, or "
            "null. Run the audit again."
        ) from error


def _analog(certificate: Audit, fresh: Audit) -> list[str]:
    if certificate.analog == fresh.analog:
        return []
    said, are = (", ".join(a.analog) or "none" for a in (certificate, fresh))
    return [f"analog layers: {said}, and the model's are {are}"]


def _exceptions(certificate: Audit, fresh: Audit) -> list[str]:
    said, are = (_without_places(a.exceptions) for a in (certificate, fresh))
    if said == are:
        return []
    missing = [e for e in fresh.exceptions if _plain(e) not in said]
    extra = [e for e in certificate.exceptions if _plain(e) not in are]
    return [
        *(f"exceptions: {_named(e)} is missing from the certificate" for e in missing),
        *(f"exceptions: {_named(e)} is not in the model" for e in extra),
    ] or [
        f"exceptions: {len(certificate.exceptions)} in another order or number than {len(fresh.exceptions)}"
    ]


def _named(left: Remaining) -> str:
    return f"{left.module or '(model)'} {left.op} with {left.count:g} multiplications and {left.functions:g} functions"


def _without_places(exceptions: Iterable[Remaining]) -> list[dict[str, Any]]:
    return [_plain(left) for left in exceptions]


def _plain(left: Remaining) -> dict[str, Any]:
    return {key: value for key, value in asdict(left).items() if key not in PLACES}


def _rows(certificate: Audit, fresh: Audit) -> list[str]:
    """What differs in a layer, one sentence a layer."""
    if len(certificate.layers) != len(fresh.layers):
        return [f"layers: {len(certificate.layers)} rows, and the model has {len(fresh.layers)}"]
    found = []
    for said, now in zip(certificate.layers, fresh.layers, strict=True):
        keys = [
            field.name for field in fields(LayerRow)
            if field.name not in PLACES and not _agree(field.name, said, now, certificate, fresh)
        ]  # fmt: skip
        if keys:
            what = ", ".join(f"{key} {_value(said, key)} in place of {_value(now, key)}" for key in keys)
            found.append(f"layers: {said.module or '(model)'} {said.op} has {what}")
    return found


def _value(row: LayerRow, key: str) -> str:
    value = getattr(row, key)
    return f"{value:g}" if isinstance(value, float) else "other bytes" if "traffic" in key else repr(value)


def _agree(key: str, said: LayerRow, now: LayerRow, certificate: Audit, fresh: Audit) -> bool:
    one, other = getattr(said, key), getattr(now, key)
    if key not in MEASURED or certificate.basis == fresh.basis == "worst case":
        return one == other
    if fresh.basis == "measured":
        return _near(one, other)
    # without the data: no more than the worst case
    if key in ("density", "firing_rate"):
        return one is None or (isinstance(one, (int, float)) and one >= 0 and (key != "density" or one <= 1))
    return key == "traffic" or (isinstance(one, (int, float)) and 0 <= one <= other * (1 + EXACT))


def _near(one: Any, other: Any, share: float = TOLERANCE) -> bool:
    """Equal, numbers within a share of each other."""
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=share, abs_tol=1e-30)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(_near(a, b, share) for a, b in zip(one, other, strict=True))
    if isinstance(one, (Traffic, MemoryUse)) and isinstance(other, (Traffic, MemoryUse)):
        return _near(tuple(vars(one).values()), tuple(vars(other).values()), share)
    return one == other


def _sums(certificate: Audit) -> list[str]:
    """Totals that are not the sums of the rows, or of nothing in them."""
    sums = totals_of(certificate.layers)
    wrong = [
        key for key in (*COUNTS, *BYTES)
        if not _near(certificate.totals.get(key), sums[key], EXACT)
    ]  # fmt: skip
    unknown = [key for key in certificate.totals if key not in sums]
    return [
        *(
            f"totals: {key} {certificate.totals.get(key)}, and the layers add up to {sums[key]:g}"
            for key in wrong
        ),
        *(f"totals: {key} {certificate.totals[key]} is no count of an audit" for key in unknown),
    ]


def _energies(certificate: Audit, fresh: Audit) -> list[str]:
    """Energies by every table; without the data those of the twin, and that ours stay below the worst case."""
    said, now = ({e.table: e for e in a.energies} for a in (certificate, fresh))
    if said.keys() != now.keys():
        return [f"energies: by {', '.join(said)}, and this audit has {', '.join(now)}"]
    open_ = certificate.basis != fresh.basis
    share = TOLERANCE if fresh.basis == "measured" else EXACT
    found = []
    for name, worst in now.items():
        one = said[name]
        keys = [
            f.name for f in fields(worst) if not (open_ and f.name in ("joules", "memory_joules", "memories"))
        ]
        wrong = [key for key in keys if not _near(getattr(one, key), getattr(worst, key), share)]
        if wrong:
            found.append(f"energies: {name} differs in {', '.join(wrong)}")
        elif open_ and not 0 <= one.memory_joules <= one.joules <= worst.joules * (1 + EXACT):
            found.append(f"energies: {name} has {one.joules:g} J, and the worst case is {worst.joules:g} J")
    row = said.get(str(certificate.table["name"]))
    if row is not None and not _near(row.joules, certificate.totals.get("joules"), EXACT):
        found.append(
            f"energies: {row.table} has {row.joules:g} J, and the totals {certificate.totals.get('joules')} J"
        )
    return found


def _steps(certificate: Audit, fresh: Audit) -> list[str]:
    found = []
    if certificate.steps != fresh.steps:
        found.append(f"steps: {certificate.steps}, and the model has {fresh.steps}")
    if certificate.basis == fresh.basis and certificate.samples != fresh.samples:
        found.append(f"samples: {certificate.samples}, and those given are {fresh.samples}")
    return found


def _unchecked(certificate: Audit, fresh: Audit) -> tuple[str, ...]:
    if certificate.basis == fresh.basis:
        return ()
    return (
        f"additions, densities, bytes and energies measured on {certificate.samples} samples, but that they add up and "
        "stay below the worst case; give the data to measure them again",
    )
