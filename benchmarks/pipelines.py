"""Three ways to a spiking network on the whole of Fashion-MNIST: direct, converted, and pretrained then fine-tuned.

Usage: python benchmarks/pipelines.py [--seeds 0 1 2] [--out runs/pipelines]

All are `spiking_vgg_nano` with integers 0..4, under the recipe `fashion_mnist`. `direct` trains it with surrogate
gradients for EPOCHS; `ann` is the same layers with ReLU, trained likewise; `converted` takes the ANN's weights, each
layer scaled so that its neuron's ceiling is the one with the least squared error, for 4 to 64 levels, and trains
nothing; `hybrid` (pipeS) goes on from the one of 4 levels with surrogate gradients for a fifth of the epochs. Runs
go on where they were stopped. Writes results/pipelines.csv, one row an epoch, and docs/assets/pipelines.svg.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pipelines_figure
import relu_twin  # noqa: F401 - registers ReLU, which the ANN's checkpoint names
import results
import torch
from torch import Tensor, nn
from train_cards import run

import spikedrive as sd
from spikedrive.blocks import ConvBN, SpikingModel
from spikedrive.cli.target import BEST, normalised_images
from spikedrive.data import load_images
from spikedrive.recipes import get_recipe
from spikedrive.training import Recipe, evaluate
from spikedrive.training.conversion import choose_ceiling

MODEL, EPOCHS, FINE_TUNED = "spiking_vgg_nano", 10, 2
LEVELS = (4, 8, 16, 32, 64)
CALIBRATION = 512
"""Training images on which ceilings are chosen."""


def recipe_of(form: str, seed: int, weights: Path | None = None) -> Recipe:
    """What each form trains by."""
    common = get_recipe("fashion_mnist").replace(model=MODEL, seed=seed, epochs=EPOCHS)
    if form == "ann":
        return common.replace(model_args={"neuron": {"name": "ReLU"}})
    if form == "hybrid":
        return common.replace(epochs=FINE_TUNED, lr=1e-3, warmup_epochs=0.1, weights=str(weights))
    return common


@torch.no_grad()
def converted(ann: SpikingModel, levels: int) -> SpikingModel:
    """The ANN's layers around neurons of 0..levels: what a neuron reads is scaled so that its ceiling is `levels`."""
    model = sd.create_model(MODEL, neuron={"name": "ILIF", "levels": levels})
    model.load_state_dict(ann.state_dict())
    model.metadata = ann.metadata
    read: list[Tensor] = []
    hooks = [
        n.register_forward_pre_hook(lambda _, args: read.append(args[0])) for n in ann.neurons().values()
    ]
    ann(normalised_images(ann, "fashion_mnist", "train", CALIBRATION))
    for hook in hooks:
        hook.remove()
    layers = [m for m in model.modules() if isinstance(m, ConvBN | nn.Linear)]
    for (ahead, behind), x in zip(pairwise(layers), read, strict=True):
        scale = levels / choose_ceiling(x, method="qcfs", levels=levels, percentile=100, top=float("inf"))
        last = ahead.bn if isinstance(ahead, ConvBN) else ahead
        last.weight.mul_(scale)
        last.bias.mul_(scale)
        (behind.conv if isinstance(behind, ConvBN) else behind).weight.div_(scale)
    return model.eval()


def rows_of(seed: int, out: Path) -> Iterator[dict[str, object]]:
    """One seed: each form's epochs, with the time since its beginning (that of the ANN included) and test accuracy."""
    folder = {form: out / f"{form}_{seed}" for form in ("direct", "ann", "hybrid")}
    for form in ("direct", "ann"):
        _train(recipe_of(form, seed), folder[form])
        yield from _epochs(form, seed, folder[form], 0.0)
    ann = sd.load_model(folder["ann"] / BEST)
    spent = _seconds(folder["ann"])
    start = folder["ann"] / "converted.safetensors"
    for levels in LEVELS:
        model = converted(ann, levels)
        if levels == LEVELS[0]:
            sd.save_model(model, start)
        yield _row(f"converted, {levels} levels", seed, 0, spent, "", _accuracy(model))
    _train(recipe_of("hybrid", seed, start), folder["hybrid"])
    yield from _epochs("hybrid", seed, folder["hybrid"], spent)


def _train(recipe: Recipe, where: Path) -> None:
    if not (where / "metrics.json").is_file():
        run(recipe, where)


def _epochs(form: str, seed: int, where: Path, before: float) -> Iterator[dict[str, object]]:
    lines = [json.loads(line) for line in (where / "log.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if line["kind"] == "epoch"]
    best = json.loads((where / "metrics.json").read_text())["best_epoch"]
    tested = _accuracy(sd.load_model(where / BEST))
    row = partial(_row, form, seed)
    for line in epochs:
        time = before + _seconds(where) * line["epoch"] / len(epochs)
        yield row(
            line["epoch"], time, f"{line['val_accuracy']:.4f}", tested if line["epoch"] == best else None
        )


def _row(
    form: str, seed: int, epoch: int, seconds: float, validated: str, tested: float | None
) -> dict[str, Any]:
    return {"form": form, "seed": seed, "epoch": epoch, "cpu_seconds": f"{seconds:.0f}", "validation": validated,
            "test": "" if tested is None else f"{tested:.4f}"}  # fmt: skip


def _seconds(where: Path) -> float:
    # the processor's time: what else runs on the machine does not count
    return float(json.loads((where / "cpu_seconds.json").read_text()))


def _accuracy(model: SpikingModel) -> float:
    known = model.metadata
    images = load_images("fashion_mnist", "test", size=(28, 28), channels=1)
    return evaluate(model, images, mean=known["mean"], std=known["std"])["accuracy"]


def main() -> None:
    """Train what is missing, seed by seed, and write after each form."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=results.ROOT / "runs" / "pipelines")
    options = parser.parse_args()
    for seed in options.seeds:
        own: list[dict[str, object]] = []
        others = [row for row in results.read("pipelines") if row["seed"] != str(seed)]
        for row in rows_of(seed, options.out):
            own.append({**results.provenance(), **row})
            results.write("pipelines", [*others, *own])
            if row["test"]:
                print(", ".join(f"{key} {value}" for key, value in row.items() if value != ""), flush=True)
    pipelines_figure.draw()
    tested = {(r["form"], r["seed"]): float(r["test"]) for r in results.read("pipelines") if r["test"]}
    for seed in map(str, options.seeds):
        gain = tested["hybrid", seed] - tested["direct", seed]
        print(
            f"seed {seed}: {FINE_TUNED} hybrid epochs against {EPOCHS} direct ones: {100 * gain:+.2f} points"
        )


if __name__ == "__main__":
    main()
