"""Shakespeare byte by byte: SpikeGPT, its additive form and a dense GPT of equal size, each for equal time.

Usage: python benchmarks/shakespeare.py [--minutes M] [--threads N] [--seeds S ...] [--only MODEL ...] [--out FOLDER]

Each run takes M minutes (30) of N threads (2). How many steps that is, is measured first, once a model, in the time of
the processor, which others do not lengthen, and kept in runs/shakespeare/steps.json, so that an interrupted run goes on
with its own; the same command again goes on where it was stopped. The dense twin takes the best of three learning
rates, by the validation text of seed 0. Checkpoints are chosen on the validation text; the test text is read once, at
the end of a run. Writes results/shakespeare.csv.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import results
import torch

from spikedrive.data.text import load_tokens, open_tokenizer
from spikedrive.recipes import get_recipe
from spikedrive.tasks import lm
from spikedrive.training import Recipe, evaluate_text, train
from spikedrive.training.prepare import TextBatches, prepare_language_model, prepare_text

MODELS = ("spikegpt_6m", "spikegpt_additive_6m", "gpt_dense_6m")
RATES = {"gpt_dense_6m": (1e-3, 2e-3, 4e-3)}
EPOCHS = 5
"""Looks at the validation text."""
TIMED_STEPS = 20
TUNED = 0
"""The seed on which a learning rate is chosen."""


def main() -> None:
    """Run what is missing, and write the table of what there is."""
    options = _options()
    results.refuse_while_red()
    torch.set_num_threads(options.threads)
    for name in options.only:
        rates = RATES.get(name, ())
        for rate in rates:
            one(name, options, seed=TUNED, lr=rate)
        found = {rate: _metrics(_folder(options.out, name, TUNED, rate))["val_loss"] for rate in rates}
        best = min(found, key=found.__getitem__) if found else None
        for seed in options.seeds:
            one(name, options, seed=seed, lr=best)
    table(options.out)


def one(name: str, options: argparse.Namespace, *, seed: int, lr: float | None) -> None:
    """One run, and its figures on the test text beside it."""
    recipe = _recipe(name, options, seed, lr)
    folder = _folder(options.out, name, seed, recipe.lr)
    recipe = recipe.replace(task={**recipe.task, "steps": _steps(recipe, options) // EPOCHS})
    run = train(recipe, folder)
    if not (folder / "test.json").is_file():
        figures = {**test(run.load(), int(recipe.task["context"])), "minutes": options.minutes}
        run_figures = {
            key: run.metrics[key] for key in ("val_bits_per_byte", "firing_rate", "parameters", "steps")
        }
        figures |= {**run_figures, "seconds": run.metrics["seconds"]}
        (folder / "test.json").write_text(json.dumps(figures))
    print(folder.name, (folder / "test.json").read_text(), flush=True)


def test(model: torch.nn.Module, context: int) -> dict[str, float]:
    """Bits a byte and perplexity on the test text, in windows, each from an empty state."""
    tokens = load_tokens("shakespeare", "test", open_tokenizer("bytes"))
    found = evaluate_text(model, tokens, context=context)
    return {"test_bits_per_byte": found["bits_per_byte"], "test_perplexity": found["perplexity"]}


def table(out: Path) -> None:
    """A row for each run that is finished."""
    rows: list[dict[str, Any]] = []
    for path in sorted(out.glob("*/test.json")):
        name, seed, rate = path.parent.name.split("-", 2)
        where = json.loads((path.parent / "environment.json").read_text(encoding="utf-8"))
        rows.append(
            {"model": name, "seed": int(seed), "lr": float(rate), **json.loads(path.read_text()),
             "threads": where["threads"], "date": where["started"][:10], "commit": str(where["commit"])[:7]}
        )  # fmt: skip
    if rows:
        print(results.write("shakespeare", rows).relative_to(results.ROOT))


def _recipe(name: str, options: argparse.Namespace, seed: int, lr: float | None) -> Recipe:
    recipe = get_recipe(f"shakespeare.{name}").replace(seed=seed, epochs=EPOCHS, threads=options.threads)
    return recipe if lr is None else recipe.replace(lr=lr)


def _steps(recipe: Recipe, options: argparse.Namespace) -> int:
    """Optimizer steps that fill the minutes: measured once a model and number of threads."""
    path, key = options.out / "steps.json", f"{recipe.model}-{options.minutes:g}-{options.threads}"
    known: dict[str, int] = json.loads(path.read_text()) if path.is_file() else {}
    if key not in known:
        known[key] = max(EPOCHS, math.floor(60 * options.minutes / seconds_a_step(recipe)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(known))
    return known[key]


def seconds_a_step(recipe: Recipe) -> float:
    """The median over some steps of forward, backward and a plain update."""
    text = prepare_text(recipe)
    model, _ = prepare_language_model(recipe, text)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-5)
    seconds = []
    for step, (part,) in enumerate(TextBatches(recipe, text, device=torch.device("cpu")).epoch(0)):
        start = time.process_time()
        lm.loss(model(part.x), part.targets).backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append((time.process_time() - start) / recipe.threads)
        if step == TIMED_STEPS:
            break
    return sorted(seconds)[len(seconds) // 2]


def _folder(out: Path, name: str, seed: int, lr: float) -> Path:
    return out / f"{name}-{seed}-{lr:g}"


def _metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=results.ROOT / "runs" / "shakespeare")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
