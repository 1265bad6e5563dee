"""`spikedrive train`: a recipe, or a model on a folder of images or text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikedrive.cli.output import note
from spikedrive.cli.target import checkpoint_path
from spikedrive.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from spikedrive.training import Recipe


def verb(
    target: Annotated[
        str, typer.Argument(metavar="RECIPE|MODEL", help="A recipe, or a model together with --data.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Recipe fields, as in epochs=20 lr=1e-3.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="A folder of class folders, an .npz, an idx folder or a bundled name; for text a folder or a name."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Start from this run or checkpoint, with a new head where the classes differ."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="What is learned: classify, masked (pretraining on images without labels), lm (text), "
            "text_classification, events (clips of an event camera), flow (how far everything moves before one), "
            "paired (two cameras), or to recall: mqar and passkey, which make their texts. Of video video (the class "
            "of a clip), segment and pose. The model and the data decide where this is left out."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/NAME by default.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on where a run in the same folder was killed.")] = True,
) -> None:
    """Train a recipe, or a model on your images or text.

    Everything about the run is kept in one folder; the same command again resumes a killed run.
    """
    from spikedrive.training import train

    recipe = resolve(target, overrides or [], data=data, weights=weights, task=task)
    folder = out or Path("runs") / target
    try:
        train(recipe, folder, resume=resume)
    except KeyboardInterrupt:
        note(f"interrupted; the same command goes on from the last checkpoint in {folder}")
        raise typer.Exit(130) from None
    if recipe.task["name"] == "masked":
        typer.echo(f"{folder}\nspikedrive train {recipe.model} --data LABELLED --weights {folder}")
    elif recipe.task["name"] in ("mqar", "passkey"):
        typer.echo(f"{folder}\nspikedrive eval {folder} --task {recipe.task['name']}")
    elif recipe.task["name"] in ("flow", "paired", "pose", "segment", "video"):
        typer.echo(f"{folder}\nspikedrive eval {folder} --data {recipe.data}")
    elif recipe.task["name"] == "events":
        typer.echo(
            f"{folder}\nspikedrive eval {folder} --data {recipe.data}\nspikedrive predict {folder} RECORDING"
        )
        if recipe.task.get("window"):
            typer.echo(f"spikedrive watch RECORDING --model {folder}")
    elif recipe.task["name"] == "lm":
        typer.echo(f"{folder}\nspikedrive generate {folder} --prompt TEXT")
    elif recipe.task["name"] == "text_classification":
        typer.echo(
            f"{folder}\nspikedrive eval {folder} --data {recipe.data}\nspikedrive predict {folder} TEXT"
        )
    else:
        typer.echo(
            f"{folder}\nspikedrive eval {folder} --data {recipe.data}\nspikedrive predict {folder} IMAGE"
        )


def resolve(
    target: str, overrides: list[str], *, data: str | None, weights: str | None, task: str | None = None
) -> Recipe:
    """The recipe that the words on the command line ask for.

    *Raises*: UnknownNameError, ConfigError, DataError.
    """
    from spikedrive.data.events import is_paired
    from spikedrive.data.video import VIDEO_SETS
    from spikedrive.models import get_card, list_models
    from spikedrive.recipes import (
        RECIPES,
        event_clips,
        event_flow,
        image_folder,
        labelled_texts,
        masked_pretraining,
        paired_clips,
        recall,
        text_folder,
        video_clips,
    )

    if target in RECIPES:
        recipe = RECIPES[target]()
    elif target in list_models():
        reads_text = get_card(target).input == "tokens"
        if task == "mqar" or task == "passkey":
            recipe = recall(target, task)
        elif data is None:
            what, example = ("text", "shakespeare") if reads_text else ("images", "fashion_mnist_mini")
            if get_card(target).input in ("frames", "points"):
                flow = get_card(target).task == "flow"
                what, example = "events", "moving_textures" if flow else "saccades_fashion_mini"
            raise ConfigError(
                f"train got the model {target} and no {what}; a model is trained on --data FOLDER, a recipe "
                f"({', '.join(RECIPES)}) names its own. Add --data, for example --data {example}."
            )
        elif task == "masked":
            recipe = masked_pretraining(target, data)
        elif task == "video" or task == "segment" or task == "pose":
            recipe = video_clips(target, data, task)
        elif task is None and data in VIDEO_SETS:
            recipe = video_clips(target, data)
        elif task == "paired" or (task is None and is_paired(data)):
            recipe = paired_clips(target, data)
        elif get_card(target).task == "flow":
            recipe = event_flow(target, data)
        elif task == "events" or (task is None and get_card(target).input in ("frames", "points")):
            recipe = event_clips(target, data)
        elif get_card(target).task == "text_classification":
            recipe = labelled_texts(target, data)
        else:
            recipe = text_folder(target, data) if reads_text else image_folder(target, data)
    else:
        raise unknown_name("recipe or model", target, [*RECIPES, *list_models()])
    changes: dict[str, Any] = {} if data is None else {"data": data}
    if task is not None:
        changes["task"] = {**recipe.task, "name": task}
    if weights is not None:
        changes["weights"] = weights
    chosen = recipe.replace(**changes).override(overrides)
    # a teacher is named as weights are: by a file, a run's folder, or MODEL.TAG
    files = {key: getattr(chosen, key) for key in ("weights", "teacher") if getattr(chosen, key) is not None}
    return chosen.replace(**{key: str(checkpoint_path(value)) for key, value in files.items()})
