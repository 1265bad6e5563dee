"""What an audit answers: verdict, counts a layer, exceptions; a file that can be read without torch."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spikedrive.auditing.energy.work import Traffic
from spikedrive.errors import FormatError
from spikedrive.files import atomic_write

if TYPE_CHECKING:
    from torch import Tensor, nn

    from spikedrive.auditing.certificate import Check
    from spikedrive.auditing.energy import EnergyTable

Verdict = Literal["additive", "gated-additive", "hybrid"]
FORMAT = "spikedrive.audit"
VERSION = 2

COUNTS = (
    "dense_macs", "additions", "multiplications", "functions", "shifts", "compares", "ands", "sums", "lookups",
    "membrane_updates", "joules", "dense_joules",
)  # fmt: skip
BYTES = ("bytes_read", "bytes_written", "dense_bytes_read", "dense_bytes_written")


@dataclass(frozen=True)
class LayerRow:
    """One operation's cost.

    *Units*: counts and joules per sample, over all steps. `additions` are those that spikes and integers
    cause (an integer s is s of them); `sums` are those without a weight: shortcuts, biases, pools of real
    values. `functions` are evaluations of exp, roots and the like. `dense_macs` are those of the dense
    twin, which has real activations, counts padding as FLOP counters do, and sees a static input once.
    `domain` says what values the operation meets, `density` how many of them are not zero, `firing_rate`
    the mean integer; both are None where nothing was measured. `unit` is the real number that one of these integers
    stands for, None where there are none or it is not one number. `low` and `high` bound the output (None:
    unbounded), `bits` is the width that holds every partial sum exactly, with 8-bit weights. Bytes are those of the
    audit's table, on all memories; `traffic` and `dense_traffic` have them by kind of data and memory.
    """

    module: str
    file: str
    line: int
    op: str
    kind: str
    domain: str
    note: str
    density: float | None
    firing_rate: float | None
    dense_macs: float
    additions: float
    multiplications: float
    functions: float
    shifts: float
    compares: float
    ands: float
    sums: float
    lookups: float
    membrane_updates: float
    joules: float
    dense_joules: float
    low: float | None
    high: float | None
    bits: int | None
    bytes_read: float = 0.0
    bytes_written: float = 0.0
    dense_bytes_read: float = 0.0
    dense_bytes_written: float = 0.0
    traffic: tuple[Traffic, ...] = ()
    dense_traffic: tuple[Traffic, ...] = ()
    unit: float | None = None


@dataclass(frozen=True)
class Remaining:
    """Multiplications that are left, where they stand, why, and the nearest replacement.

    *Units*: count (multiplications and divisions) and functions (exp, roots and the like) per sample.
    """

    module: str
    file: str
    line: int
    op: str
    kind: str
    count: float
    functions: float
    why: str
    replacement: str


@dataclass(frozen=True)
class MemoryUse:
    """Bytes per sample that go to and come from one memory, and the dense twin's."""

    memory: str
    read: float
    written: float
    dense_read: float
    dense_written: float


@dataclass(frozen=True)
class TableEnergy:
    """The whole model's energy by one table, and the dense twin's.

    *Units*: joules per sample; `memory_joules` are those of `joules` that bytes cost.
    """

    table: str
    process: str
    precision: str
    source: str
    scope: str
    derived: tuple[str, ...]
    joules: float
    memory_joules: float
    dense_joules: float
    dense_memory_joules: float
    memories: tuple[MemoryUse, ...]


@dataclass(frozen=True)
class Audit:
    """The verdict on one model, with the evidence.

    `additive`: multiplications in the `analog` first layers at most. `gated-additive`: products of two
    integers remain that no neuron bounds. `hybrid`: real multiplications remain. `exceptions` lists them.
    `basis` is "measured" (on `samples` inputs) or "worst case" (every neuron fires its most at every step).
    `table` holds the energy table of the rows with its source and scope, `energies` the totals by every registered
    one. `steps` is T: the first axis of a sequence, of what the neurons take, or what an encoder makes of a static
    input; 1 where there is none. `inputs` are the domains that the inputs were declared to have (None: real), and
    `data_hash` is that of the data measured on.
    """

    model: str
    verdict: Verdict
    analog: tuple[str, ...]
    exceptions: tuple[Remaining, ...]
    layers: tuple[LayerRow, ...]
    totals: dict[str, float]
    basis: Literal["measured", "worst case"]
    samples: int
    table: dict[str, Any]
    graph_hash: str
    rules_version: int
    steps: int = 1
    energies: tuple[TableEnergy, ...] = ()
    inputs: tuple[dict[str, Any] | None, ...] = ()
    batch_axis: int | None = None
    data_hash: str = ""

    @property
    def per_step(self) -> dict[str, float]:
        """The totals of one step: the mean over T; a readout that runs once is spread over the steps."""
        return {key: total / self.steps for key, total in self.totals.items()}

    @property
    def density(self) -> float | None:
        """The share of non-zeros that the layers behind neurons meet, weighted by dense MACs; None where unmeasured."""
        met = [
            (row.density, row.dense_macs)
            for row in self.layers
            if row.density is not None and row.module not in self.analog
        ]
        whole = math.fsum(macs for _, macs in met)
        return math.fsum(density * macs for density, macs in met) / whole if whole else None

    @property
    def assumed(self) -> str:
        """In words, which domains the inputs were declared to have."""
        given = ["real" if d is None else f"{d['low']}..{d['high']} x {d['scale']:g}" for d in self.inputs]
        return f", given inputs {', '.join(given)}" if any(self.inputs) else ""

    @property
    def multiplication_free(self) -> bool:
        """Whether nothing but the analog first layer multiplies."""
        return self.verdict == "additive"

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings; what `save` writes."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the certificate as JSON; a killed write leaves the last one.

        Raises: StorageError.
        """
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        with atomic_write(path) as temporary:
            temporary.write_text(text + "\n")
        return Path(path)

    def check(
        self,
        model: nn.Module,
        example: Tensor | tuple[Tensor, ...],
        *,
        data: Tensor | tuple[Tensor, ...] | None = None,
        table: str | os.PathLike[str] | EnergyTable | None = None,
    ) -> Check:
        """Whether this certificate is that of `model`: audit again, and list what differs (see `check_certificate`)."""
        from spikedrive.auditing.certificate import check_certificate

        return check_certificate(self, model, example, data=data, table=table)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Audit:
        """Read what `save` wrote.

        Raises: FormatError for a file that is damaged, of another kind or another version.
        """
        try:
            read = json.loads(Path(path).read_text())
            found = (read.pop("format"), read.pop("version"))
            if found != (FORMAT, VERSION):
                raise FormatError(
                    f"{path} is {found[0]!r} of version {found[1]}; Audit.load takes {FORMAT!r} of version {VERSION}. "
                    "Run the audit again."
                )
            read["exceptions"] = tuple(Remaining(**e) for e in read["exceptions"])
            read["layers"] = tuple(LayerRow(**_with_traffic(row)) for row in read["layers"])
            read["energies"] = tuple(TableEnergy(**_with_memories(energy)) for energy in read["energies"])
            if not _has_numbers(read["layers"], read["totals"]) or "name" not in read["table"]:
                raise ValueError("a count is no number, or the table has no name")
            if not _is_of_a_known_making(read):
                raise ValueError(
                    "it needs the basis 'measured' or 'worst case', a number of samples and a batch axis"
                )
            return cls(**{**read, "analog": tuple(read["analog"]), "inputs": tuple(read["inputs"])})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(
                f"{path} cannot be read as an audit ({type(error).__name__}: {error}); it takes the JSON that "
                "Audit.save wrote. Run the audit again."
            ) from error

    def table_text(self) -> str:
        """The layers that cost something, totals and exceptions, for a terminal."""
        head = ("layer", "kind", "meets", "density", "additions", "multiply", "dense MACs", "energy")
        rows = [
            (
                row.module or "(model)", row.kind, row.domain, "" if row.density is None else f"{row.density:.3f}",
                short(row.additions), short(row.multiplications + row.functions), short(row.dense_macs),
                f"{short(row.joules)}J" if row.joules else "",
            )
            for row in self.layers if row.additions or row.multiplications or row.functions or row.dense_macs
        ]  # fmt: skip
        totals = self.totals
        rows.append((
            "total", "", "", "", short(totals["additions"]), short(totals["multiplications"] + totals["functions"]),
            short(totals["dense_macs"]), f"{short(totals['joules'])}J",
        ))  # fmt: skip
        return "\n".join([self._headline(), "", *aligned([head, *rows], 3), *self._remarks()])

    def _headline(self) -> str:
        where = f", analog first layer {', '.join(self.analog)}" if self.analog else ""
        basis = f"measured on {self.samples} samples" if self.basis == "measured" else "worst case"
        return f"{self.model}: {self.verdict}{where}{self.assumed} (per sample, {basis})"

    def _memory_lines(self) -> list[str]:
        """Bytes by memory, at the widths of the rows' table."""
        found = next((e for e in self.energies if e.table == self.table["name"]), None)
        if found is None or not found.memories:
            return []
        head = (f"bytes by {found.table}", "read", "written", "dense read", "dense written")
        rows = [
            (use.memory, *(short(n) for n in (use.read, use.written, use.dense_read, use.dense_written)))
            for use in found.memories
        ]
        return ["", *aligned([head, *rows], 1)]

    def _energy_lines(self) -> list[str]:
        """Every table beside the others."""
        if not self.energies:
            return []
        head = ("energy by table", "precision", "spiking", "of it memory", "dense twin", "dense / spiking")
        rows = [
            (
                e.table, e.precision, f"{short(e.joules)}J", f"{short(e.memory_joules)}J",
                f"{short(e.dense_joules)}J", f"{e.dense_joules / e.joules:.2f}" if e.joules else "",
            )
            for e in self.energies
        ]  # fmt: skip
        return ["", *aligned([head, *rows], 2)]

    def _remarks(self) -> list[str]:
        table, totals = self.table, self.totals
        dense = totals["dense_joules"]
        lines = [
            "",
            f"energy by {table['name']} ({table['precision']}): {short(totals['joules'])}J, "
            f"dense twin {short(dense)}J",
            f"  {table['scope']}",
        ]
        if self.steps > 1:
            step = self.per_step
            lines += [
                f"one of {self.steps} steps, on average: {short(step['additions'])} additions, "
                f"{short(step['multiplications'] + step['functions'])} multiplications, "
                f"{short(step['bytes_read'])}B read, {short(step['bytes_written'])}B written, {short(step['joules'])}J"
            ]
        lines += [*self._memory_lines(), *self._energy_lines()]
        if self.exceptions:
            lines += ["", f"{operations(len(self.exceptions))}:"]
        for left in self.exceptions:
            count = short(left.count + left.functions)
            lines += [
                f"  {left.module or '(model)'} {left.op} ({left.file}:{left.line}): {count} a sample, {left.why}",
                f"    instead: {left.replacement}",
            ]
        return lines


def aligned(rows: list[tuple[str, ...]], left: int) -> list[str]:
    """Rows of cells in columns, the first `left` of them flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(w) if i < left else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _has_numbers(layers: tuple[LayerRow, ...], totals: dict[str, Any]) -> bool:
    counts = [getattr(row, key) for row in layers for key in (*COUNTS, *BYTES)]
    return all(isinstance(count, (int, float)) for count in (*counts, *totals.values()))


def _is_of_a_known_making(read: dict[str, Any]) -> bool:
    axis = read["batch_axis"]
    known = read["basis"] in ("measured", "worst case") and isinstance(read["samples"], int)
    return known and (axis is None or isinstance(axis, int))


def _with_traffic(row: dict[str, Any]) -> dict[str, Any]:
    moved = {key: tuple(Traffic(**t) for t in row[key]) for key in ("traffic", "dense_traffic")}
    return {**row, **moved}


def _with_memories(energy: dict[str, Any]) -> dict[str, Any]:
    memories = tuple(MemoryUse(**use) for use in energy["memories"])
    return {**energy, "memories": memories, "derived": tuple(energy["derived"])}


def operations(count: int) -> str:
    """How many multiply, as a sentence begins.

    >>> operations(1), operations(2)
    ('1 operation multiplies', '2 operations multiply')
    """
    return f"{count} operation{'' if count == 1 else 's'} multipl{'ies' if count == 1 else 'y'}"


def short(number: float) -> str:
    """A number with three digits and a prefix.

    >>> short(1234567), short(0.00052), short(0), short(12)
    ('1.23M', '520u', '0', '12')
    """
    if not number:
        return "0"
    power = max(-4, min(5, math.floor(math.log10(abs(number)) / 3 + 1e-12)))
    scaled = f"{number / 1000**power:.3g}"
    if scaled in ("1e+03", "-1e+03"):
        power, scaled = power + 1, f"{number / 1000 ** (power + 1):.3g}"
    return scaled + "pnum kMGTP"[power + 4].strip()


def totals_of(layers: tuple[LayerRow, ...]) -> dict[str, float]:
    """The sums of every count, and of the bytes, over the layers."""
    assert {*COUNTS, *BYTES} <= {field.name for field in fields(LayerRow)}
    return {key: float(sum(getattr(row, key) for row in layers)) for key in (*COUNTS, *BYTES)}
