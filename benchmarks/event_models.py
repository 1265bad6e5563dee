"""Small models for event cameras on a simulated set, each with its ANN twin: accuracy, density, additions and energy.

Usage: python benchmarks/event_models.py [NAME ...] [--seeds 0 1 2] [--data saccades_fashion_mini] [--out runs/events]
       [--epochs 12] [--clips 2000]

One run after another, each resumable and left alone where it is finished; then every finished run of the same settings
is judged on the test clips and audited on 64 training clips, as it would be deployed. The twins have ReLU in place of
each neuron, and nothing else is changed. Writes results/event_models.csv.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import relu_twin  # noqa: F401 - registers ReLU, which the twins' checkpoints name
import results
import torch
from train_cards import twin_neurons

import spikedrive as sd
from spikedrive.auditing import audit
from spikedrive.blocks import fuse
from spikedrive.data.events import PointReader, load_events, read_record
from spikedrive.ops.domain import Integer
from spikedrive.recipes import event_clips
from spikedrive.training import Recipe, evaluate_clips, train

MEMBERS = (
    "csnn_nano", "asa_csnn_nano", "ta_snn_nano", "spikepoint_nano", "spike_driven_transformer_dvs_nano",
    "spike_video_former_dvs_nano",
)  # fmt: skip
AUDITED = 64
"""Training clips on which densities are measured."""


def recipe_of(name: str, seed: int, *, twin: bool, data: str, epochs: int, clips: int | None) -> Recipe:
    """The settings of one run; the twin's differs in its neurons alone."""
    task: dict[str, Any] = {"name": "events"} | ({"clips": clips} if clips else {})
    arguments = twin_neurons(name) if twin else {}
    return event_clips(name, data).replace(
        seed=seed, epochs=epochs, task=task, model_args=arguments, threads=1, save_minutes=2.0
    )


def row_of(run: Path) -> dict[str, object]:
    """What one finished run came to."""
    recipe, metrics = (json.loads((run / f"{part}.json").read_text()) for part in ("recipe", "metrics"))
    model = sd.load_model(run / "checkpoints" / "best.safetensors")
    reader, known = read_record(model.metadata["events"]), model.metadata
    judged = evaluate_clips(model, load_events(recipe["data"], "test"), reader)
    train_clips = load_events(recipe["data"], "train")
    x = reader([train_clips[i] for i in range(AUDITED)])
    deployed = fuse(model)
    points = isinstance(reader, PointReader)
    example = x[:1] if points else x[:, :1]
    proof = audit(deployed, example, data=x, inputs=[] if points else [Integer(known["events"]["levels"])])
    counted = [
        (row.density, row.dense_macs) for row in proof.layers if row.density is not None and row.dense_macs
    ]
    macs = sum(dense for _, dense in counted)
    return {
        "model": recipe["model"], "twin": bool(recipe["model_args"]), "data": recipe["data"], "seed": recipe["seed"],
        "epochs": metrics["epochs"], "clips": metrics["train_clips"] + metrics["val_clips"],
        "parameters": metrics["parameters"], "accuracy": round(judged["accuracy"], 4), "test_clips": judged["clips"],
        "val_accuracy": round(metrics["val_accuracy"], 4), "minutes": round(metrics["seconds"] / 60, 1),
        "verdict": proof.verdict,
        "density": round(sum(part * dense for part, dense in counted) / macs, 4) if counted else None,
        "additions": round(proof.totals["additions"]), "multiplications": round(proof.totals["multiplications"]),
        "microjoules": round(1e6 * proof.totals["joules"], 4), "table": proof.table["name"],
    }  # fmt: skip


def main() -> None:
    """Train what is missing, judge what is there, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[*MEMBERS, []], default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data", default="saccades_fashion_mini")
    parser.add_argument("--out", type=Path, default=Path("runs/events"))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--clips", type=int, default=2000)
    options = parser.parse_args()
    results.refuse_while_red()
    torch.set_num_threads(1)
    rows = []
    for seed in options.seeds:
        for name in options.names or MEMBERS:
            for twin in (False, True):
                recipe = recipe_of(
                    name, seed, twin=twin, data=options.data, epochs=options.epochs, clips=options.clips
                )
                run = options.out / f"{name}{'_twin' if twin else ''}_{seed}"
                train(recipe, run, progress=False)
                rows.append(row_of(run))
                print(rows[-1], flush=True)
                # each finished run counts, whatever becomes of the next
                results.write("event_models", rows)


if __name__ == "__main__":
    main()
