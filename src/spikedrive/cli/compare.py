"""`spikedrive compare`: models side by side on the same images."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikedrive.cli.models import spread
from spikedrive.cli.output import JsonFlag, emit, note
from spikedrive.errors import ConfigError, StorageError
from spikedrive.files import atomic_write

if TYPE_CHECKING:
    from spikedrive.auditing import Audit
    from spikedrive.blocks import SpikingModel
    from spikedrive.data import ImageSet
    from spikedrive.engine import Program

AUDITED = 256
"""Training images on which densities are measured."""


def verb(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET",
            help="MODEL.TAG of the package (all classifiers by default), a run, or a model to train.",
        ),
    ] = None,
    data: Annotated[
        str, typer.Option(help="Labelled images on which all are judged.")
    ] = "fashion_mnist_mini",
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the page.")] = Path("docs/results"),
    recipe: Annotated[str, typer.Option(help="How models by name alone are trained.")] = "fashion_mnist_mini",
    epochs: Annotated[int | None, typer.Option(min=1, help="Fewer or more than the recipe's.")] = None,
    rounds: Annotated[int, typer.Option(min=4, help="Images that are timed one by one.")] = 100,
    as_json: JsonFlag = False,
) -> None:
    """Compare trained models: accuracy against additions, energy, parameters, density and latency.

    Writes a page with a table and plots. A model by its name alone is first trained by the recipe, in a folder under
    the page's; the same command goes on where it was interrupted.
    """
    from spikedrive.models import list_pretrained
    from spikedrive.reports.comparison import ARTIFACT, write_comparison

    chosen = targets or list_pretrained("accuracy")
    if len(set(chosen)) < len(chosen):
        raise ConfigError(
            f"compare got {', '.join(chosen)}; it takes each of them once. Leave the second one out."
        )
    # before anything is trained or measured, which may take hours
    _make_folder(out)
    _check_targets(chosen)
    runs = {target: _trained(target, recipe, epochs, out) for target in chosen}
    rows = [measure(name, run, data, rounds) for name, run in runs.items()]
    found = {
        "command": " ".join(["spikedrive", *sys.argv[1:]]) if sys.argv[1:2] == ["compare"] else "spikedrive compare",
        "data": data, "audited": AUDITED, "rounds": rounds, **_provenance(), **rows[0].pop("shared"),
        "models": [{key: value for key, value in row.items() if key != "shared"} for row in rows],
    }  # fmt: skip
    with atomic_write(out / ARTIFACT) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    emit(found, str(write_comparison(out)), as_json)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"compare cannot make the folder {out} ({error.strerror or error}); it takes one that it may write. "
            "Choose another: --out FOLDER."
        ) from error


def _check_targets(targets: Sequence[str]) -> None:
    """Refuse what is neither a model's name nor a trained model of images."""
    from spikedrive.cli.target import load_trained
    from spikedrive.models import list_models, list_pretrained

    texts = sorted(set(list_pretrained()) - set(list_pretrained("accuracy")))
    for target in targets:
        if target in texts:
            raise ConfigError(
                f"compare got {target}, a language model; it takes classifiers of images. Leave it out."
            )
        if target not in list_models():
            load_trained(target)


def measure(name: str, target: str, data: str, rounds: int) -> dict[str, Any]:
    """Everything that the page says of one model; `shared` holds what is the same for all.

    *Units*: accuracies are shares 0..1, joules and additions an image's, latencies milliseconds.
    """
    from spikedrive.auditing import audit
    from spikedrive.blocks import fuse
    from spikedrive.cli.target import example_input, judged_images, load_trained, normalised_images
    from spikedrive.engine.lower import compile
    from spikedrive.training import evaluate

    note(f"{name} ...")
    model = load_trained(target)
    known, images = model.metadata, judged_images(model, data, "test")
    seen = normalised_images(model, data, "train", AUDITED)
    proof = audit(fuse(model), example_input(model), data=seen)
    program = compile(model, example_input(model), mean=known["mean"], std=known["std"])
    low, middle, high = _latency(program, images, rounds)
    return {
        "name": name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "accuracy": evaluate(model, images, mean=known["mean"], std=known["std"])["accuracy"],
        **_card(name, model),
        **_counts(proof),
        "latency_ms": middle, "latency_ms_low": low, "latency_ms_high": high,
        "shared": {"images": len(images), "energy_table": f"{proof.table['name']} ({proof.table['precision']})"},
    }  # fmt: skip


def _trained(target: str, recipe: str, epochs: int | None, out: Path) -> str:
    """What `load_trained` takes: the target, or the run of a model that only its name stands for."""
    from spikedrive.models import list_models
    from spikedrive.recipes import get_recipe
    from spikedrive.training import train

    if target not in list_models():
        return target
    chosen = get_recipe(recipe).replace(model=target)
    train(chosen if epochs is None else chosen.replace(epochs=epochs), out / "runs" / target)
    return str(out / "runs" / target)


def _card(name: str, model: SpikingModel) -> dict[str, Any]:
    """What the card of weights in the package says of other seeds and of the twin."""
    from spikedrive.models import get_card, list_pretrained

    if name not in list_pretrained() or model.card is None:
        return {"seeds": None, "twin": None}
    card = get_card(model.card.name).weights[name.partition(".")[2]]
    seeds = f"{spread([run['accuracy'] for run in card['runs']])} ({len(card['runs'])})"
    return {"seeds": seeds, "twin": card["twin"]["accuracy"] if card["twin"] else None}


def _counts(proof: Audit) -> dict[str, Any]:
    totals = {key: proof.totals[key] for key in ("additions", "joules", "dense_joules")}
    return {**totals, "density": proof.density, "verdict": proof.verdict}


def _latency(program: Program, images: ImageSet, rounds: int) -> tuple[float, float, float]:
    """First quartile, median and third quartile of one image's time on one thread, in milliseconds."""
    pixels = images.images[:: max(1, len(images) // rounds)][:rounds].numpy()
    times = []
    # the first images warm caches up
    for k in (*range(min(5, len(pixels))), *range(len(pixels))):
        start = time.perf_counter()
        program.run(pixels[k : k + 1], threads=1)
        times.append(1000 * (time.perf_counter() - start))
    measured = times[-len(pixels) :]
    low, _, high = quantiles(measured, n=4)
    return low, median(measured), high


def _provenance() -> dict[str, Any]:
    from spikedrive.recipes import get_recipe
    from spikedrive.training.run_folder import describe_environment

    here = describe_environment(get_recipe("fashion_mnist_mini"), device="cpu", processes=1)
    return {"machine": here["machine"], "commit": here["commit"], "date": here["started"][:10]}
