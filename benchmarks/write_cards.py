"""The weights that come with the package and their cards, from the runs of `train_cards.py`.

Usage: python benchmarks/write_cards.py [NAME ...] [--runs runs/cards]

Of each member's finished runs the one with the best validation accuracy is shipped, rounded to fp16. Test images are
read here and nowhere else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import relu_twin  # noqa: F401 - registers ReLU, which the twins' checkpoints name
import results
from train_cards import MEMBERS, folder_name

import spikedrive as sd
from spikedrive.auditing import Audit, audit
from spikedrive.blocks import SpikingModel, fuse
from spikedrive.cli.target import BEST, example_input, normalised_images
from spikedrive.data import ImageSet, load_images
from spikedrive.engine.lower import compile
from spikedrive.engine.verify import verify
from spikedrive.files import atomic_write
from spikedrive.training import evaluate

FOLDER = results.ROOT / "src" / "spikedrive" / "models" / "pretrained"
TAG = "fashion"
AUDITED = 256
"""Training images on which densities are measured, as the demo's."""
BAR = 0.91
"""The test accuracy that each file is to have; the card of one that has less says so."""
LICENCE = "Apache-2.0; trained on Fashion-MNIST, which is MIT"


def write_card(name: str, runs: Path) -> Path | None:
    """Ship a member's best run and write its card; None where no run of it is finished.

    Runs that the card holds already, of other seeds by the same command, stay in it.
    """
    done, twins = ([w for w in _runs(runs, name, twin=twin) if _finished(w)] for twin in (False, True))
    if not done and not twins:
        return None
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"{name}.{TAG}.safetensors"
    card = _json(file.parent, file.stem) if file.is_file() else {"runs": [], "twin": None}
    ways = {command(_json(where, "recipe") | {"seed": 0}) for where in done} or {
        _of_any_seed(card["command"])
    }
    if len(ways) > 1:
        raise SystemExit(f"The runs of {name} in {runs} differ by more than their seeds: {sorted(ways)}.")
    if _of_any_seed(card.get("command", "")) not in ways:
        card = {"runs": [], "twin": None}
    measured = {run["seed"]: run for run in card["runs"]} | {run["seed"]: run for run in map(_run, done)}
    best = max(measured.values(), key=lambda run: run["validation_accuracy"])
    where = next((w for w in done if _json(w, "recipe")["seed"] == best["seed"]), None)
    shipped = _rounded(where, file) if where else sd.load_model(file)
    recipe = _json(where, "recipe") if where else {"data": card["data"]}
    card = {
        "model": name,
        "tag": TAG,
        "params": sum(p.numel() for p in shipped.parameters()),
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "licence": LICENCE,
        "data": recipe["data"],
        "command": command(recipe) if where else card["command"],
        "reproduce": f"make cards NAME={name}",
        "seed": best["seed"],
        "accuracy": best["accuracy"],
        "bar": {"accuracy": BAR, "met": best["accuracy"] >= BAR},
        "accuracy_bundled": _accuracy(shipped, _test("fashion_mnist_mini")),
        "runs": [measured[seed] for seed in sorted(measured)],
        "twin": _run(twins[0]) if twins else card["twin"],
        **_examine(shipped, recipe["data"]),
        "measured": results.provenance(),
    }
    with atomic_write(file.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return file


def _finished(run: Path) -> bool:
    return (run / "metrics.json").is_file()


def _of_any_seed(line: str) -> str:
    return shlex.join(word for word in shlex.split(line) if not word.startswith("seed="))


def command(recipe: dict[str, Any]) -> str:
    """The command line that trains this recipe again."""
    usual = sd.recipes.get_recipe("fashion_mnist").to_dict()
    # a key that recipes no longer have stood at what did nothing
    changed = {k: v for k, v in recipe.items() if k == "model" or v != usual.get(k, v)}
    words = [f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in changed.items()]
    return shlex.join(["spikedrive", "train", "fashion_mnist", *words])


def _runs(folder: Path, name: str, *, twin: bool = False) -> list[Path]:
    found = folder.glob(folder_name(name, 0, twin=twin)[:-1] + "[0-9]*")
    return sorted(found, key=lambda where: _json(where, "recipe")["seed"])


def _run(where: Path) -> dict[str, Any]:
    """One seed: its test accuracy as it would ship, and what it took."""
    with tempfile.TemporaryDirectory() as folder:
        accuracy = _accuracy(_rounded(where, Path(folder) / "m.safetensors"), _test("fashion_mnist"))
    metrics, recipe, environment = (_json(where, part) for part in ("metrics", "recipe", "environment"))
    return {
        "seed": recipe["seed"],
        "accuracy": accuracy,
        "validation_accuracy": metrics["val_accuracy"],
        "epochs": metrics["epochs"],
        "cpu_hours": round(float(json.loads((where / "cpu_seconds.json").read_text())) / 3600, 3),
        "hours": round(metrics["seconds"] / 3600, 3),
        "cpu": environment["machine"]["cpu"],
        "commit": environment["commit"],
        "date": environment["started"][:10],
    }


def _rounded(run: Path, file: Path) -> SpikingModel:
    """The run's checkpoint in fp16 at `file`, read back."""
    sd.save_model(sd.load_model(run / BEST), file, bits=16)
    return sd.load_model(file)


def _accuracy(model: SpikingModel, images: ImageSet) -> float:
    known = model.metadata
    return evaluate(model, images, mean=known["mean"], std=known["std"])["accuracy"]


@cache
def _test(data: str) -> ImageSet:
    return load_images(data, "test", size=(28, 28), channels=1)


def _examine(model: SpikingModel, data: str) -> dict[str, Any]:
    """What the audit and the engine say of the deployed form, on training and on the bundled test images."""
    seen, known = normalised_images(model, data, "train", AUDITED), model.metadata
    trained, proof = audit(model, example_input(model), data=seen), deployed_audit(model, seen)
    program = compile(
        model, example_input(model), mean=known["mean"], std=known["std"], class_names=known["class_names"]
    )
    bundled = _test("fashion_mnist_mini")
    found = verify(program, model, bundled.images[:], bundled.labels)
    return {
        "audit": {"as_trained": trained.verdict, "samples": AUDITED, **_figures(proof)},
        "engine": {
            "images": found.images, "accuracy": found.accuracy_program, "agreement": found.agreement,
            "integers": found.integers, "unequal": found.unequal, "equal": found.equal,
        },
    }  # fmt: skip


def deployed_audit(model: SpikingModel, seen: Any) -> Audit:
    """The audit of the form that is compiled: additive where an exact repair makes it so."""
    return audit(fuse(model), example_input(model), data=seen)


def _figures(proof: Audit) -> dict[str, Any]:
    layers = {row.module: row.density for row in proof.layers if row.density is not None and row.dense_macs}
    totals = ("additions", "multiplications", "dense_macs", "sums", "compares", "joules", "dense_joules")
    return {
        "verdict": proof.verdict,
        "analog": list(proof.analog),
        "exceptions": [f"{left.module} {left.op}: {left.why}" for left in proof.exceptions],
        **{key: proof.totals[key] for key in totals},
        "energy_table": f"{proof.table['name']} ({proof.table['precision']})",
        "density": proof.density,
        "density_by_layer": {name: round(value, 4) for name, value in layers.items()},
    }


def _json(where: Path, part: str) -> dict[str, Any]:
    return json.loads((where / f"{part}.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--runs", type=Path, default=results.ROOT / "runs" / "cards")
    given = parser.parse_args()
    for each in given.names or MEMBERS:
        print(write_card(each, given.runs) or f"{each}: no finished run in {given.runs}", flush=True)
