"""What attention and augmentation bring to small networks on few simulated clips: accuracy with and without.

Usage: python benchmarks/event_gains.py [NAME ...] [--seeds 0 1 2] [--out runs/gains]

One run after another, each resumable and left alone where it is finished, judged on the test clips. Nothing else
differs between a network and itself without attention, or a training and itself without augmentation; no setting was
chosen by these figures. Writes results/event_gains.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import results
import torch

from spikedrive.data.events import load_events, read_record
from spikedrive.recipes import event_clips
from spikedrive.training import evaluate_clips, train

DATA, CLIPS, EPOCHS = "saccades_fashion_mini", 1000, 20
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("csnn_nano", {}),
    "moved": (
        "csnn_nano", {"augment": {"RandomFlip": {}, "RandomShift": {"most": 0.1}}},
    ),
    "dropped": ("csnn_nano", {"augment": {"EventDrop": {}}}),
    "mixed": ("csnn_nano", {"mix": {"MixArea": {}}}),
    "guided": ("csnn_nano", {"mix": {"EventRPG": {"mix": 0.5}}}),
    "ta": ("ta_snn_nano", {}),
    "ta_plain": ("ta_snn_nano", {"model_args": {"attention": False}}),
    "asa": ("asa_csnn_nano", {}),
    "asa_plain": ("asa_csnn_nano", {"model_args": {"attention": False}}),
}  # fmt: skip
"""Model, and what differs."""


def measure(name: str, seed: int, out: Path) -> dict[str, object]:
    """One run, and what it came to."""
    model_name, fields = VARIANTS[name]
    recipe = event_clips(model_name, DATA).replace(
        seed=seed,
        epochs=EPOCHS,
        task={"name": "events", "clips": CLIPS},
        threads=1,
        save_minutes=2.0,
        **fields,
    )
    run = train(recipe, out / f"{name}_{seed}", progress=False)
    model = run.load()
    judged = evaluate_clips(model, load_events(DATA, "test"), read_record(model.metadata["events"]))
    return {
        "variant": name, "model": model_name, "seed": seed, "clips": CLIPS, "epochs": EPOCHS,
        "accuracy": round(judged["accuracy"], 4), "test_clips": int(judged["clips"]),
        "minutes": round(run.metrics["seconds"] / 60, 1),
    }  # fmt: skip


def main() -> None:
    """Train what is missing, and write the table of what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[*VARIANTS, []], default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/gains"))
    options = parser.parse_args()
    results.refuse_while_red()
    torch.set_num_threads(1)
    rows: list[dict[str, object]] = []
    for seed in options.seeds:
        for name in options.names or VARIANTS:
            rows.append(measure(name, seed, options.out))
            print(rows[-1], flush=True)
            # each finished run counts, whatever becomes of the next
            results.write("event_gains", rows)


if __name__ == "__main__":
    main()
