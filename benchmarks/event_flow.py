"""Optical flow from events at every step: the spiking U-Net, its LSTM twin, and the same network without memory.

Usage: python benchmarks/event_flow.py [CELL ...] [--seeds 0 1 2] [--size 32] [--clips 600] [--epochs 20]
       [--out runs/flow]

One run after another, each resumable and left alone where it is finished; then it is judged on all 500 test clips,
whose textures and motions no training clip has, and audited on 16 training clips. Writes results/event_flow.csv.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import results
import torch

import spikedrive as sd
from spikedrive.auditing import audit
from spikedrive.blocks import fuse
from spikedrive.data.events.simulated import load_flow
from spikedrive.ops.domain import Integer
from spikedrive.recipes import event_flow
from spikedrive.training import Recipe, evaluate_flow, train
from spikedrive.training.prepare.flow import FlowPart

CELLS = ("snn", "lstm", "none")
AUDITED = 16


def recipe_of(cell: str, seed: int, options: argparse.Namespace) -> Recipe:
    """The settings of one run; cells differ in nothing else."""
    task = {"name": "flow", "size": options.size, "clips": options.clips}
    recipe = event_flow("event_flow_nano")
    return recipe.replace(
        seed=seed, epochs=options.epochs, task=task, model_args={"cell": cell}, threads=1, save_minutes=2.0
    )


def row_of(run: Path) -> dict[str, object]:
    """What one finished run came to."""
    recipe, metrics = (json.loads((run / f"{part}.json").read_text()) for part in ("recipe", "metrics"))
    model = sd.load_model(run / "checkpoints" / "best.safetensors")
    size = model.metadata["flow"]["size"]
    test = load_flow(recipe["data"], "test", size=size)
    judged = evaluate_flow(model, FlowPart(test, tuple(range(len(test)))))
    whole = load_flow(recipe["data"], "train", size=size, clips=recipe["task"]["clips"])
    x, _ = FlowPart(whole, tuple(range(AUDITED))).read(range(AUDITED))
    proof = audit(fuse(model), x[:, :1], data=x, inputs=[Integer(255)])
    counted = [
        (row.density, row.dense_macs) for row in proof.layers if row.density is not None and row.dense_macs
    ]
    return {
        "model": recipe["model"], "cell": recipe["model_args"]["cell"], "seed": recipe["seed"], "size": size,
        "clips": recipe["task"]["clips"], "epochs": metrics["epochs"], "parameters": metrics["parameters"],
        "aee": round(judged["aee"], 4), "angle": round(judged["angle"], 2), "still": round(judged["still"], 4),
        "test_clips": judged["clips"], "val_aee": round(metrics["val_loss"], 4),
        "minutes": round(metrics["seconds"] / 60, 1), "verdict": proof.verdict,
        "density": round(sum(a * b for a, b in counted) / sum(b for _, b in counted), 4) if counted else None,
        "additions": round(proof.totals["additions"]), "multiplications": round(proof.totals["multiplications"]),
        "microjoules": round(1e6 * proof.totals["joules"], 4), "table": proof.table["name"],
    }  # fmt: skip


def main() -> None:
    """Train what is missing, judge what is there, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cells", nargs="*", choices=[*CELLS, []], default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("runs/flow"))
    options = parser.parse_args()
    results.refuse_while_red()
    torch.set_num_threads(1)
    rows = []
    for seed in options.seeds:
        for cell in options.cells or CELLS:
            run = options.out / f"{cell}_{options.size}_{seed}"
            train(recipe_of(cell, seed, options), run, progress=False)
            rows.append(row_of(run))
            print(rows[-1], flush=True)
            # each finished run counts, whatever becomes of the next
            results.write("event_flow", rows)


if __name__ == "__main__":
    main()
