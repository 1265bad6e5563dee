"""The head of a report: the verdict and the figures that people look for first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from spikedrive.auditing.result import Audit, operations
from spikedrive.reports.artifacts import exists, need, read_audit, read_json
from spikedrive.reports.style import percent, quantity, seconds

# what a mark on the page says at a glance
Mood = Literal["good", "warn", ""]


@dataclass(frozen=True)
class Verdict:
    """A short judgement and whether it is a good one."""

    text: str
    mood: Mood


@dataclass(frozen=True)
class Merit:
    """One figure of merit: its name, its value, and what stands beside it."""

    name: str
    value: str
    beside: str = ""
    mood: Mood = ""


@dataclass(frozen=True)
class Summary:
    """What stands above everything else."""

    title: str
    subtitle: str
    verdicts: list[Verdict]
    merits: list[Merit]


def build_summary(run: Path) -> Summary:
    """The head of the page for one run's folder; what has no file yet is left out.

    *Raises*: DataError when a file that is there is damaged.
    """
    recipe = read_json(run / "recipe.json")
    need(run / "recipe.json", recipe, "model", "data", "seed")
    audit = read_audit(run / "audit.json") if exists(run, "audit.json") else None
    metrics = _read(run / "metrics.json", "epochs", "seconds", "parameters")
    verify = _read(run / "verify.json", *VERIFIED)
    merits = _accuracies(verify) if verify else _validation(metrics)
    merits += _energy(audit) if audit else []
    merits += (
        [Merit("Training time", seconds(metrics["seconds"]), _epochs(metrics["epochs"]))] if metrics else []
    )
    verdict = _judge(audit) if audit else Verdict("not audited yet", "warn")
    size = f" · {metrics['parameters']:,} parameters" if metrics else ""
    return Summary(recipe["model"], f"on {recipe['data']} · seed {recipe['seed']}{size}", [verdict], merits)


VERIFIED = (
    "images",
    "equal",
    "agreement",
    "accuracy_fp32",
    "accuracy_program",
    "points_lost",
    "integers",
    "neurons",
)


def _read(path: Path, *keys: str) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found = read_json(path)
    need(path, found, *keys)
    return found


def _judge(audit: Audit) -> Verdict:
    if audit.verdict != "additive":
        return Verdict(f"{audit.verdict}: {operations(len(audit.exceptions))}", "warn")
    analog = f" · analog first layer: {', '.join(audit.analog)}" if audit.analog else ""
    return Verdict(f"additive{analog}", "good")


def _accuracies(verify: dict[str, Any]) -> list[Merit]:
    images, lost = f"of {verify['images']:,} test images", verify["points_lost"]
    merits = []
    if lost is not None:
        merits = [
            Merit("Accuracy, integers", percent(verify["accuracy_program"]), images),
            Merit("Accuracy, fp32", percent(verify["accuracy_fp32"]), images),
            Merit("Accuracy lost", f"{lost:.2f} pt", "fp32 to integers"),
        ]
    compared = f"{quantity(verify['integers'])} integers compared"
    equal = ("all equal", "good") if verify["equal"] else ("not equal", "warn")
    return [
        *merits,
        Merit("Same answer as fp32", percent(verify["agreement"]), "argmax agreement"),
        Merit("Program and fp64 twin", equal[0], compared, equal[1]),
    ]


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"


def _validation(metrics: dict[str, Any]) -> list[Merit]:
    if not metrics:
        return []
    if "val_accuracy" not in metrics and "val_loss" in metrics:
        return [Merit("Loss, validation", f"{metrics['val_loss']:.3f}", "masked patches, fp32 model")]
    return [Merit("Accuracy, validation", percent(metrics["val_accuracy"]), "fp32 model")]


def _energy(audit: Audit) -> list[Merit]:
    spiking, dense = audit.totals["joules"], audit.totals["dense_joules"]
    beside = f"dense twin: {quantity(dense, 'J')}" + (f", {dense / spiking:.1f} x" if spiking else "")
    return [Merit("Energy per sample", quantity(spiking, "J"), beside)]
