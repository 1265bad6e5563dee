"""What an audit answers: verdict, counts a layer, exceptions; a file that can be read without torch."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from spikedrive.errors import FormatError
from spikedrive.files import atomic_write

Verdict = Literal["additive", "gated-additive", "hybrid"]
FORMAT = "spikedrive.audit"
VERSION = 1

COUNTS = (
    "dense_macs", "additions", "multiplications", "functions", "shifts", "compares", "ands", "sums", "lookups",
    "membrane_updates", "joules", "dense_joules",
)  # fmt: skip


@dataclass(frozen=True)
class LayerRow:
    """One operation's cost.

    *Units*: counts and joules per sample, over all steps. `additions` are those that spikes and integers
    cause (an integer s is s of them); `sums` are those without a weight: shortcuts, biases, pools of real
    values. `functions` are evaluations of exp, roots and the like. `dense_macs` are those of the dense
    twin, which has real activations, counts padding as FLOP counters do, and sees a static input once.
    `domain` says what values the operation meets, `density` how many of them are not zero, `firing_rate`
    the mean integer; both are None where nothing was measured. `low` and `high` bound the output (None:
    unbounded), `bits` is the width that holds every partial sum exactly, with 8-bit weights.
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
class Audit:
    """The verdict on one model, with the evidence.

    `additive`: multiplications in the `analog` first layers at most. `gated-additive`: products of two
    integers remain that no neuron bounds. `hybrid`: real multiplications remain. `exceptions` lists them.
    `basis` is "measured" (on `samples` inputs) or "worst case" (every neuron fires its most at every step).
    `table` holds the energy table with its source and scope.
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
            read["layers"] = tuple(LayerRow(**row) for row in read["layers"])
            return cls(**{**read, "analog": tuple(read["analog"])})
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
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        lines = ["  ".join(cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in
                           enumerate(zip(row, widths, strict=True))).rstrip() for row in [head, *rows]]  # fmt: skip
        return "\n".join([self._headline(), "", *lines, *self._remarks()])

    def _headline(self) -> str:
        where = f", analog first layer {', '.join(self.analog)}" if self.analog else ""
        basis = f"measured on {self.samples} samples" if self.basis == "measured" else "worst case"
        return f"{self.model}: {self.verdict}{where} (per sample, {basis})"

    def _remarks(self) -> list[str]:
        table, totals = self.table, self.totals
        dense = totals["dense_joules"]
        lines = [
            "",
            f"energy by {table['name']} ({table['precision']}): {short(totals['joules'])}J, "
            f"dense twin {short(dense)}J",
            f"  {table['scope']}",
        ]
        if self.exceptions:
            lines += ["", f"{len(self.exceptions)} operations multiply:"]
        for left in self.exceptions:
            count = short(left.count + left.functions)
            lines += [
                f"  {left.module or '(model)'} {left.op} ({left.file}:{left.line}): {count} a sample, {left.why}",
                f"    instead: {left.replacement}",
            ]
        return lines


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
    """The sums of every count over the layers."""
    assert set(COUNTS) <= {field.name for field in fields(LayerRow)}
    return {key: float(sum(getattr(row, key) for row in layers)) for key in COUNTS}
