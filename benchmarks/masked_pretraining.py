"""Does masked pretraining help where labels are few? Fine-tuning on 100 labels, with it and without, over seeds.

Three arms a seed, all judged on the 2,000 bundled test images, which are opened once an arm:

- pretrained: masked pretraining on the 10,000 bundled training images, whose labels it does not look at, then
  fine-tuning on 100 of them with labels;
- scratch: the same fine-tuning from random weights;
- scratch, longer: the same from random weights, about as long as the pretraining and the fine-tuning of the first arm
  together, in processor time.

Usage: python benchmarks/masked_pretraining.py [SEED ...]     (0 1 2 by default, one thread)
What is done already is not done again, so that the command can be interrupted. A seed takes about a quarter of an
hour of processor time. All settings were chosen on seed 7, on training images whose labels the arms do not see.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import results
import torch

from spikedrive.data import generator, load_images
from spikedrive.recipes import masked_pretraining
from spikedrive.training import Recipe, evaluate, train

MODEL, DATA, SIZE = "sew_resnet_nano", "fashion_mnist_mini", 32
LABELS_PER_CLASS = 10
PRETRAINING, FINE_TUNING, LONGER = 40, 160, 3200
"""Epochs of the pretraining, of the fine-tuning, and of the longer one from random weights."""


def main(seeds: list[int]) -> None:
    """Run what is missing, and write results/masked_pretraining.csv."""
    results.refuse_while_red()
    rows = []
    # what takes longest comes last, so that an interrupted measurement has whole arms
    for arm in ("pretrained", "scratch", "scratch, longer"):
        for seed in seeds:
            rows.append(_measure(arm, seed))
            print(rows[-1], flush=True)
        print(Path(results.write("masked_pretraining", rows)).relative_to(results.ROOT), flush=True)


def _measure(arm: str, seed: int) -> dict[str, Any]:
    folder = results.ROOT / "runs" / "masked_pretraining" / MODEL / str(seed)
    recipe, before = _fine_tuning(_labelled(folder, seed), seed), None
    if arm == "pretrained":
        before = _run(folder / "pretraining", _pretraining(seed))
        recipe = recipe.replace(weights=str(folder / "pretraining" / "checkpoints" / "best.safetensors"))
    if arm == "scratch, longer":
        recipe = recipe.replace(epochs=LONGER)
    found = _run(folder / arm.replace(", ", "_"), recipe)
    spent = [run["cpu_seconds"] for run in (before, found) if run]
    return {
        **found["where"], "model": MODEL, "arm": arm, "seed": seed, "labels": 10 * LABELS_PER_CLASS,
        "epochs": recipe.epochs, "pretraining_epochs": PRETRAINING if before else 0, "accuracy": found["accuracy"],
        "cpu_seconds": "" if None in spent else round(sum(spent)),
        "masked_loss": round(before["val_loss"], 4) if before else "",
    }  # fmt: skip


def _pretraining(seed: int) -> Recipe:
    return masked_pretraining(MODEL, DATA).replace(
        image_size=SIZE, epochs=PRETRAINING, warmup_epochs=1.0, val_fraction=0.05, seed=seed, lr=3e-3
    )


def _fine_tuning(labelled: Path, seed: int) -> Recipe:
    return Recipe(
        model=MODEL, data=str(labelled), image_size=SIZE, epochs=FINE_TUNING, batch_size=16, val_fraction=0.2,
        lr=3e-3, warmup_epochs=5.0, weight_decay=0.05, label_smoothing=0.1, ema=0.98, clip=5.0, seed=seed, threads=1,
        augment={"RandomCrop": {"padding": 2}, "RandomHorizontalFlip": {}},
    )  # fmt: skip


def _labelled(folder: Path, seed: int) -> Path:
    """A file with 10 images of every class, which the seed chooses."""
    path = folder / "labelled.npz"
    if not path.is_file():
        images = load_images(DATA, "train")
        order = torch.randperm(len(images), generator=generator(seed, 0))
        which = [order[images.labels[order] == label][:LABELS_PER_CLASS] for label in range(10)]
        part = images.subset(torch.cat(which))
        folder.mkdir(parents=True, exist_ok=True)
        names = np.array(part.class_names)
        np.savez(path, x=part.images[:].numpy(), y=part.labels.numpy(), class_names=names)
    return path


def _run(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """Train and, where there are labels, test; what was found before is read."""
    found = folder.with_suffix(".json")
    if found.is_file():
        return json.loads(found.read_text(encoding="utf-8"))
    # a run that goes on where it was stopped has no processor time of its own
    begun = (folder / "recipe.json").exists()
    start = time.process_time()
    run = train(recipe, folder)
    seconds = None if begun else time.process_time() - start
    here = results.provenance()
    answer = {"val_loss": run.metrics["val_loss"], "cpu_seconds": seconds, "where": here}
    if recipe.task["name"] == "classify":
        model = run.load()
        test = load_images(DATA, "test", size=SIZE)
        known = model.metadata
        answer["accuracy"] = evaluate(model, test, mean=known["mean"], std=known["std"])["accuracy"]
    found.write_text(json.dumps(answer) + "\n", encoding="utf-8")
    return answer


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [0, 1, 2])
