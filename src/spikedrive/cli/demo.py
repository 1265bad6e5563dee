"""`spikedrive demo`: the whole life of a model in one command, in minutes on a laptop."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikedrive.cli import stages
from spikedrive.cli.output import JsonFlag, emit, note, table
from spikedrive.cli.target import load_trained
from spikedrive.errors import ConfigError
from spikedrive.files import atomic_write

if TYPE_CHECKING:
    from spikedrive.training import Recipe

RECIPE = "fashion_mnist_mini"
SUMMARY = "demo.json"


def verb(
    out: Annotated[Path, typer.Option("--out", "-o", help="The run's folder.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights, order and augmentation.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="Fewer or more than the recipe's.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete what an earlier demo left, and start anew.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Train, audit, compile, verify and report.

    The whole life of a model on the bundled images, in minutes. The same command goes on where an interrupted demo
    stopped, and shows a finished one.
    """
    from spikedrive.recipes import RECIPES

    recipe = RECIPES[RECIPE]().replace(seed=seed)
    recipe = recipe if epochs is None else recipe.replace(epochs=epochs)
    if fresh:
        clear(out)
    if not (out / SUMMARY).exists():
        try:
            finish(recipe, out)
        except KeyboardInterrupt:
            note(f"interrupted; the same command goes on from the last checkpoint in {out}")
            raise typer.Exit(130) from None
    else:
        note(f"{out} holds a finished demo; `spikedrive demo --fresh` runs it anew")
    summary = json.loads((out / SUMMARY).read_text(encoding="utf-8"))
    emit(summary, as_table(summary), as_json)
    if not summary["equal"] or summary["verdict"] != "additive":
        raise typer.Exit(1)


def clear(folder: Path) -> None:
    """Delete a run's folder, and nothing that is none.

    *Raises*: ConfigError for a folder that holds something else.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "recipe.json").is_file():
        raise ConfigError(
            f"--fresh got {folder}, which holds files and no recipe.json; it deletes folders of runs only. "
            "Name another folder with --out."
        )
    shutil.rmtree(folder, ignore_errors=True)


def finish(recipe: Recipe, out: Path) -> None:
    """Go through every stage; training resumes, and the rest takes seconds."""
    began = time.perf_counter()
    resumed = (out / "recipe.json").exists()
    seconds: dict[str, float] = {}
    with stages.stage("train", seconds):
        from spikedrive.training import train

        train(recipe, out)
    model = load_trained(str(out))
    # the test images are read here and nowhere else: the checkpoint was chosen on validation images
    proof, found = stages.examine(model, recipe.data, "test", out, seconds)
    with stages.stage("report", seconds):
        from spikedrive.reports import write_report

        page = write_report(out)
    summary = {
        "model": recipe.model,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        "images": found.images,
        "accuracy_fp32": found.accuracy_fp32,
        "accuracy_program": found.accuracy_program,
        "points_lost": found.points_lost,
        "agreement": found.agreement,
        "integers": found.integers,
        "unequal": found.unequal,
        "equal": found.equal,
        "verdict": proof.verdict,
        "analog": list(proof.analog),
        "joules": proof.totals["joules"],
        "dense_joules": proof.totals["dense_joules"],
        "report": str(page),
        "resumed": resumed,
        "seconds": {**seconds, "all": time.perf_counter() - began},
    }
    # written last: its presence says that everything else stands
    with atomic_write(out / SUMMARY) as temporary:
        temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def as_table(summary: dict[str, Any]) -> str:
    """The figures that people look for first."""
    rows = [
        ["verdict", f"{summary['verdict']}, analog first layer {', '.join(summary['analog'])}"],
        ["test accuracy, fp32", f"{summary['accuracy_fp32']:.2%} of {summary['images']} images"],
        [
            "test accuracy, integers",
            f"{summary['accuracy_program']:.2%}, {summary['points_lost']:+.2f} points lost",
        ],
        ["same answer as fp32", f"{summary['agreement']:.2%}"],
        ["integers unlike the fp64 twin's", f"{summary['unequal']} of {summary['integers']}"],
        ["energy per image, 45 nm", f"{summary['joules']:.2e} J, dense twin {summary['dense_joules']:.2e} J"],
        ["parameters", summary["parameters"]],
        ["seconds", ", ".join(f"{name} {value:.0f}" for name, value in summary["seconds"].items())],
        ["report", summary["report"]],
    ]
    return table(["what", summary["model"]], rows)
