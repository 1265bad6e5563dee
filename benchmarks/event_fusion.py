"""Two cameras against each of them alone, on actions that neither can tell: accuracy of MMHCO's small member.

Usage: python benchmarks/event_fusion.py [CAMERAS ...] [--seeds 0 1 2] [--model mmhco_nano] [--epochs 5]
       [--out runs/event_fusion]

CAMERAS are both, rgb and events. One run after another, each resumable and left alone where it is finished; each is
then judged on the test clips, by the class and by its two halves. Writes results/event_fusion.csv; rows of other
models, cameras and seeds stay.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import results
import torch

import spikedrive as sd
from spikedrive.data.events import PairedReader, load_paired
from spikedrive.data.events.simulated.actions import COLOURS, WAYS
from spikedrive.recipes import paired_clips
from spikedrive.training import Recipe, train

DATA = "paired_actions"
CAMERAS = {"both": ["rgb", "events"], "rgb": ["rgb"], "events": ["events"]}
CEILINGS = {"both": 1.0, "rgb": 1 / len(WAYS), "events": 1 / len(COLOURS)}
"""The best that can be expected of who sees no more than these."""


def recipe_of(model: str, cameras: str, seed: int, epochs: int) -> Recipe:
    """The settings of one run; those of one camera differ in the cameras alone."""
    return paired_clips(model, DATA).replace(
        seed=seed, epochs=epochs, model_args={"inputs": CAMERAS[cameras]}, threads=1, save_minutes=2.0
    )


@torch.no_grad()
def row_of(run: Path, cameras: str) -> dict[str, object]:
    """What one finished run came to."""
    recipe, metrics = (json.loads((run / f"{part}.json").read_text()) for part in ("recipe", "metrics"))
    model = sd.load_model(run / "checkpoints" / "best.safetensors").eval()
    clips, reader = load_paired(DATA, "test"), PairedReader.of_record(model.metadata["events"])
    parts = torch.arange(len(clips)).split(50)
    answers = torch.cat([model(reader([clips[int(i)] for i in part])).argmax(1) for part in parts])
    ways = len(WAYS)

    def share(right: torch.Tensor) -> float:
        return round(float(right.double().mean()), 4)

    return {
        "model": recipe["model"], "cameras": cameras, "seed": recipe["seed"], "epochs": metrics["epochs"],
        "clips": metrics["train_clips"] + metrics["val_clips"], "parameters": metrics["parameters"],
        "accuracy": share(answers == clips.labels), "ceiling": round(CEILINGS[cameras], 4),
        "colour": share(answers // ways == clips.labels // ways), "way": share(answers % ways == clips.labels % ways),
        "test_clips": len(clips), "val_accuracy": round(metrics["val_accuracy"], 4),
        "minutes": round(metrics["seconds"] / 60, 1),
    }  # fmt: skip


def main() -> None:
    """Train what is missing, judge what is there, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cameras", nargs="*", choices=[*CAMERAS, []], default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--model", default="mmhco_nano")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/event_fusion"))
    options = parser.parse_args()
    results.refuse_while_red()
    torch.set_num_threads(1)
    found = {(row["model"], row["cameras"], int(row["seed"])): row for row in results.read("event_fusion")}
    for seed in options.seeds:
        for cameras in options.cameras or CAMERAS:
            run = options.out / f"{options.model}_{cameras}_{seed}"
            train(recipe_of(options.model, cameras, seed, options.epochs), run, progress=False)
            row = row_of(run, cameras)
            print(row, flush=True)
            found[options.model, cameras, seed] = row
            # each finished run counts, whatever becomes of the next
            order = {name: k for k, name in enumerate(CAMERAS)}
            keys = sorted(found, key=lambda key: (key[0], order[key[1]], key[2]))
            results.write("event_fusion", [{**results.provenance(), **found[key]} for key in keys])


if __name__ == "__main__":
    main()
