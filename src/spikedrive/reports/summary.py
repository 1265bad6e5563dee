"""The head of a report: the verdict and the figures that people look for first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from spikedrive.reports.artifacts import exists, need, read_json
from spikedrive.reports.audits import read_audit
from spikedrive.reports.style import percent, quantity, seconds

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
    need(run / "recipe.json", recipe, "model", "data")
    found = {
        name: read_json(run / f"{name}.json") for name in ("metrics", "verify") if exists(run, f"{name}.json")
    }
    audit = read_audit(run / "audit.json") if exists(run, "audit.json") else None
    verify, metrics = found.get("verify"), found.get("metrics")
    merits = [
        *(_accuracies(verify) if verify else _validation(metrics)),
        *(_energy(audit) if audit else []),
        *(_training(metrics) if metrics else []),
    ]
    verdicts = [Verdict(*_judge(audit))] if audit else [Verdict("not audited yet", "warn")]
    return Summary(f"{recipe['model']}", _subtitle(recipe, metrics), verdicts, merits)


def _subtitle(recipe: dict[str, Any], metrics: dict[str, Any] | None) -> str:
    parts = [f"on {recipe['data']}", f"seed {recipe.get('seed', 0)}"]
    if metrics and "parameters" in metrics:
        parts.append(f"{metrics['parameters']:,} parameters")
    return " · ".join(parts)


def _judge(audit: dict[str, Any]) -> tuple[str, Mood]:
    analog = audit["analog"]
    layers = f", analog first layer: {', '.join(analog)}" if analog else ""
    return f"{audit['verdict']}{layers}", "good" if audit["verdict"] == "additive" else "warn"


def _accuracies(verify: dict[str, Any]) -> list[Merit]:
    lost = 100 * (verify["accuracy_fp32"] - verify["accuracy_program"])
    images = verify["images"]
    equal = bool(verify["equal"])
    return [
        Merit("Accuracy, integer program", percent(verify["accuracy_program"]), f"of {images:,} test images"),
        Merit("Accuracy, fp32 model", percent(verify["accuracy_fp32"]), f"{lost:+.2f} points lost"),
        Merit("Same answer as fp32", percent(verify["agreement"]), "argmax agreement"),
        Merit(
            "Integers equal to the fp64 twin",
            "all" if equal else "not all",
            f"{images:,} images",
            "good" if equal else "warn",
        ),
    ]


def _validation(metrics: dict[str, Any] | None) -> list[Merit]:
    return [Merit("Accuracy, validation", percent(metrics["val_accuracy"]), "fp32 model")] if metrics else []


def _energy(audit: dict[str, Any]) -> list[Merit]:
    totals = audit["totals"]
    spiking, dense = totals["joules"], totals["dense_joules"]
    return [Merit("Energy per sample", quantity(spiking, "J"), f"{dense / spiking:.1f} x less than dense")]


def _training(metrics: dict[str, Any]) -> list[Merit]:
    return [Merit("Training time", seconds(metrics["seconds"]), f"{metrics['epochs']} epochs")]
