"""Who recalls: mixers on multi-query associative recall, and a passkey in texts longer than those trained on.

Usage: python benchmarks/associative_recall.py [mqar|passkey] [--seeds S ...] [--only NAME ...] [--out FOLDER]

Every mixer has the same shell (`spiking_lm`), steps, batches and learning rate; one thread a run. The same command goes
on where it was stopped. Checkpoints are chosen on texts of seed 1 and judged on others, of seed 0. The passkey is
asked at longer texts than the model learned from. Weights of exact attention are also asked as select-and-merge, and
those of plain rotary positions with a base that grows, neither of which was trained. Writes
results/associative_recall.csv and results/passkey.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import results

import spikedrive as sd
from spikedrive.blocks import SpikingModel
from spikedrive.data.text import open_tokenizer
from spikedrive.recipes import recall
from spikedrive.tasks.answers import answer
from spikedrive.tasks.mqar import multi_query_recall
from spikedrive.tasks.passkey import passkey
from spikedrive.training import Run, train

LENGTH, PAIRS, VOCABULARY = 32, 8, 64
SHAPE = {"width": 64, "depth": 3, "vocabulary": VOCABULARY}
EXACT = {"name": "attention", "rope": "plain", "heads": 2}
MIXERS: dict[str, dict[str, Any]] = {
    "wkv": {"mixer": "wkv"},
    "wkv, 1 exact layer": {"mixer": "wkv", "exact_layers": [1], "exact_mixer": EXACT},
    "wkv, 2 exact layers": {"mixer": "wkv", "exact_layers": [1, 2], "exact_mixer": EXACT},
    "spike_memory": {"mixer": "spike_memory"},
    "spike_memory, 1 exact layer": {"mixer": "spike_memory", "exact_layers": [1], "exact_mixer": EXACT},
    "attention": {"mixer": EXACT},
    "select_merge": {"mixer": {**EXACT, "name": "select_merge", "segment": 4, "top": 2, "region": 2}},
}

TRAINED, LENGTHS, DIGITS = 128, (128, 256, 512, 1024), 1
LONG: dict[str, dict[str, Any]] = {
    "attention, plain": {"name": "attention", "rope": "plain", "heads": 2},
    "attention, CRD-NTK": {"name": "attention", "rope": "crd_ntk", "heads": 2, "trained": TRAINED, "longest": 1024},
    "select_merge, CRD-NTK": {
        "name": "select_merge", "rope": "crd_ntk", "heads": 2, "trained": TRAINED, "longest": 1024, "segment": 8,
        "top": 4, "region": 4,
    },
}  # fmt: skip
CHOSEN, GROWN = "attention, asked as select_merge", "attention, plain, asked with NTK"


def main() -> None:
    """Run what is missing, and write the table of what there is."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("task", nargs="?", choices=("mqar", "passkey"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", default=[*MIXERS, *LONG])
    parser.add_argument("--out", type=Path, default=results.ROOT / "runs" / "associative_recall")
    options = parser.parse_args()
    results.refuse_while_red()
    for task, table in (("mqar", MIXERS), ("passkey", LONG)):
        rows = results.read(_csv(task))
        for seed in options.seeds if options.task in (None, task) else ():
            for name in (name for name in table if name in options.only):
                run = learn(task, name, seed, options.out)
                new = judge_mqar(run, name) if task == "mqar" else judge_passkey(run, name)
                # another process may have written meanwhile
                rows = merged(results.read(_csv(task)), [{**row, "seed": seed} for row in new])
                results.write(_csv(task), rows)
                print(*new, sep="\n", flush=True)


def learn(task: str, name: str, seed: int, out: Path) -> Run:
    """One run of one thread."""
    recipe = recall("spiking_lm", "mqar" if task == "mqar" else "passkey")
    if task == "mqar":
        recipe = recipe.replace(
            model_args={**SHAPE, **MIXERS[name]}, epochs=6, batch_size=32, lr=3e-3,
            task={"name": task, "length": LENGTH, "pairs": PAIRS, "steps": 100, "samples": 128},
        )  # fmt: skip
    else:
        recipe = recipe.replace(
            model_args={"width": 64, "depth": 2, "mixer": LONG[name]}, epochs=6, batch_size=16, lr=3e-3,
            task={"name": task, "length": TRAINED, "digits": DIGITS, "steps": 50, "samples": 32},
        )  # fmt: skip
    folder = out / task / f"{name.replace(', ', '-').replace(' ', '_')}-{seed}"
    return train(recipe.replace(seed=seed, threads=1, device="cpu"), folder, progress=False)


def judge_mqar(run: Run, name: str) -> list[dict[str, Any]]:
    """Values recalled, of texts that chose nothing."""
    forms = {name: run.load()}
    if name == "attention":
        forms[CHOSEN] = _as(run, MIXERS["select_merge"]["mixer"])
    asked = multi_query_recall(VOCABULARY, length=LENGTH, pairs=PAIRS, samples=500, seed=0)
    return [
        {"model": form, "accuracy": round(answer(network, asked)["accuracy"], 4), "chance": asked.chance}
        | _cost(run)
        for form, network in forms.items()
    ]


def judge_passkey(run: Run, name: str) -> list[dict[str, Any]]:
    """Whole numbers recalled, at each length and with each base that needs no training."""
    words, rows, forms = open_tokenizer("bytes"), [], {name: run.load()}
    if name == "attention, plain":
        forms[GROWN] = _as(run, {**LONG[name], "rope": "ntk", "trained": TRAINED})
    for form, network in forms.items():
        for length in LENGTHS:
            asked = passkey(words, length=length, samples=50, digits=DIGITS, seed=0)
            found = answer(network, asked, batch_size=5)
            rows.append(
                {"model": form, "length": length, "all_right": found["all_right"],
                 "accuracy": round(found["accuracy"], 4), "chance": asked.chance, **_cost(run)}
            )  # fmt: skip
    return rows


def _as(run: Run, mixer: dict[str, Any]) -> SpikingModel:
    """The run's weights with another mixer that has the same."""
    learned = run.load()
    model = sd.create_model("spiking_lm", **{**learned.config, "mixer": mixer})
    model.load_state_dict(learned.state_dict())
    return model.eval()


def merged(old: list[dict[str, str]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """New rows in place of those of the same model, length and seed."""

    def key(row: dict[str, Any]) -> tuple[str, ...]:
        return str(row["model"]), str(row.get("length", "")), str(row["seed"])

    kept: dict[tuple[str, ...], dict[str, Any]] = {key(row): row for row in (*old, *new)}
    names = [*MIXERS, CHOSEN, "attention, plain", GROWN, *LONG]
    return sorted(
        kept.values(),
        key=lambda row: (int(row["seed"]), names.index(row["model"]), int(row.get("length", 0))),
    )


def _cost(run: Run) -> dict[str, Any]:
    return {"parameters": run.metrics["parameters"], "steps": run.metrics["steps"]}


def _csv(task: str) -> str:
    return "associative_recall" if task == "mqar" else "passkey"


if __name__ == "__main__":
    main()
