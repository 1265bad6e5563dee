"""The runs behind the weights that come with the package: each small member on Fashion-MNIST, and its ANN twin.

Usage: python benchmarks/train_cards.py [NAME ...] [--seeds 0 1 2] [--out runs/cards]

One run after another, and each goes on where it was stopped; a finished one is left alone. `write_cards.py` reads them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import relu_twin  # noqa: F401 - registers ReLU, which the twins' checkpoints name

from spikedrive.files import atomic_write
from spikedrive.models import create_model
from spikedrive.recipes import get_recipe
from spikedrive.training import Recipe, train

MEMBERS: dict[str, dict[str, Any]] = {
    "meta_spikeformer_nano": {"epochs": 16},
    "spike_driven_transformer_nano": {"epochs": 20, "augment": {"RandomHorizontalFlip": {}}},
    "sew_resnet_nano": {"epochs": 16},
    "qsd_transformer_nano": {"epochs": 16, "augment": {"RandomHorizontalFlip": {}}},
    "e_spikeformer_nano": {"epochs": 16},
    "spiking_mlp_nano": {"epochs": 8, "augment": {"RandomHorizontalFlip": {}}},
}
"""What each member's recipe changes in `fashion_mnist`."""


def card_recipe(name: str, seed: int, *, twin: bool = False) -> Recipe:
    """The recipe of one run; the twin's differs in its neurons alone."""
    recipe = get_recipe("fashion_mnist").replace(model=name, seed=seed, **MEMBERS[name])
    return recipe.replace(model_args=twin_neurons(name)) if twin else recipe


def twin_neurons(name: str) -> dict[str, Any]:
    """The member's arguments that name neurons, with ReLU of the same slope in their place."""
    own = create_model(name).config
    return {
        key: {"name": "ReLU"} | {k: own[key][k] for k in ("threshold", "scale") if k in own[key]}
        for key in own
        if key.endswith("neuron") and own[key] is not None
    }


def folder_name(name: str, seed: int, *, twin: bool = False) -> str:
    """Where in the output folder a run lies."""
    return f"{name}{'_twin' if twin else ''}_{seed}"


def run(recipe: Recipe, out: Path) -> None:
    """Train, or go on, and keep count of the processor's time beside the run."""
    path = out / "cpu_seconds.json"
    before = json.loads(path.read_text()) if path.is_file() else 0.0
    began = time.process_time()

    def count(line: dict[str, Any]) -> None:
        if line["kind"] != "note":
            with atomic_write(path) as temporary:
                temporary.write_text(json.dumps(before + time.process_time() - began))

    train(recipe, out, progress=False, callback=count)


def main(names: list[str], seeds: list[int], out: Path, say: Callable[[str], None]) -> None:
    """All that is missing: first seeds first, each followed by its twin's after all members had theirs."""
    first, *others = seeds
    jobs = [(name, first, twin) for twin in (False, True) for name in names]
    jobs += [(name, seed, False) for seed in others for name in names]
    for name, seed, twin in jobs:
        where = out / folder_name(name, seed, twin=twin)
        if (where / "metrics.json").is_file():
            continue
        run(card_recipe(name, seed, twin=twin), where)
        metrics = json.loads((where / "metrics.json").read_text())
        say(f"{where.name}: validation accuracy {metrics['val_accuracy']:.4f}, {metrics['seconds']:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[*MEMBERS, []], default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/cards"))
    given = parser.parse_args()
    main(given.names or list(MEMBERS), given.seeds, given.out, lambda text: print(text, flush=True))
