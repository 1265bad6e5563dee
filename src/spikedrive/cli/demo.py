"""`spikedrive demo`: the whole life of a model in one command, in minutes on a laptop."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikedrive.cli.output import JsonFlag, emit, note, table
from spikedrive.errors import ConfigError
from spikedrive.files import atomic_write

if TYPE_CHECKING:
    from spikedrive.blocks import SpikingModel
    from spikedrive.data import ImageSet
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
    if not summary["integers_equal"] or summary["verdict"] != "additive":
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
    import torch

    from spikedrive.blocks import fuse
    from spikedrive.cli.target import example_input, images_for, load_trained
    from spikedrive.data.transforms import normalise
    from spikedrive.training import record_activity, train

    seconds: dict[str, float] = {}
    with _stage("train", seconds):
        train(recipe, out)
    model = load_trained(str(out))
    known = model.metadata
    # read here and nowhere else: the checkpoint was chosen on validation images
    test = images_for(model, recipe.data, "test")
    deployed = fuse(model, dense_separable=True)
