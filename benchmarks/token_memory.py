"""What generation keeps in memory: the state of a language model, and how far the process grows, token by token.

Usage: python benchmarks/token_memory.py [--tokens N ...] [--models NAME ...] [--forms FORM ...]
(writes results/token_memory.csv, where other numbers of tokens keep their rows)

Every model has a process of its own, which first generates a few tokens and then goes on; growth is that of the
process's largest resident size since. Models with a recurrent state go as far as is asked, the dense twin as far as its
context. Weights are random: what is kept does not depend on them.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import results
import torch
from torch import Tensor

import spikedrive as sd
from spikedrive.blocks.language import LanguageModel
from spikedrive.tasks.generate import Sampling, generate

TOKENS = (255, 1_000, 10_000, 100_000)
WARM_UP = 2
WORKS = (
    ("spikegpt_6m", "PyTorch"), ("spikegpt_additive_6m", "PyTorch"), ("spikegpt_additive_6m", "integer program"),
    ("gpt_dense_6m", "PyTorch"),
)  # fmt: skip


def held_bytes(state: Any) -> int:
    """Bytes of memory that a state holds on to, each piece once, whatever a tensor shows of it."""
    leaves = torch.utils._pytree.tree_leaves(state)
    pieces = [leaf.untyped_storage() for leaf in leaves if isinstance(leaf, Tensor)]
    arrays = sum(leaf.nbytes for leaf in leaves if hasattr(leaf, "nbytes") and not isinstance(leaf, Tensor))
    return sum({piece.data_ptr(): piece.nbytes() for piece in pieces}.values()) + arrays


def measure(model: LanguageModel, form: str, points: Sequence[int]) -> Iterator[dict[str, object]]:
    """State and growth after each number of tokens."""
    live = program_stream(model) if form == "integer program" else sd.Stream(model, along="tokens")

    @torch.inference_mode()
    def step(ids: Sequence[int]) -> Tensor:
        if isinstance(live, sd.Stream):
            return live(torch.tensor(list(ids))[:, None])[-1, 0]
        return torch.from_numpy([live(np.array([token])) for token in ids][-1].logits[0])

    for _ in generate(step, [0], tokens=WARM_UP, sampling=Sampling()):
        pass
    live.reset()
    start, begun = _fresh_peak(), time.perf_counter()
    for count, _ in enumerate(generate(step, [0], tokens=max(points), sampling=Sampling()), 1):
        if count in points:
            grown, seconds = _peak() - start, time.perf_counter() - begun
            held = held_bytes(live.state if isinstance(live, sd.Stream) else live.state.arrays)
            yield {
                "form": form,
                "tokens": count,
                "state_bytes": held,
                "grown_kb": grown,
                "seconds": round(seconds, 1),
            }


def program_stream(model: LanguageModel) -> Any:
    """The model's integer program, token by token."""
    return sd.compile(model, torch.zeros(1, 1).long()).stream()


def _fresh_peak() -> int:
    """Forget the largest resident size so far, that of building the model; gives the size now."""
    # what the build has freed would be taken again, and no growth be seen
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    """The largest resident size since then, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def merged(
    old: Sequence[Mapping[str, object]], new: Sequence[Mapping[str, object]]
) -> list[Mapping[str, object]]:
    """New rows in place of those for the same work and number of tokens."""
    kept = {(row["model"], row["form"], str(row["tokens"])): row for row in (*old, *new)}
    return sorted(
        kept.values(), key=lambda row: (WORKS.index((row["model"], row["form"])), int(str(row["tokens"])))
    )  # type: ignore[arg-type]


def _points(model: LanguageModel, asked: Sequence[int]) -> list[int]:
    # one place is the prompt's
    return [count for count in asked if model.context is None or count < model.context]


def main() -> None:
    """Measure each work in a process of its own, print and write."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    parser.add_argument("--models", nargs="+", default=[name for name, _ in WORKS])
    parser.add_argument("--forms", nargs="+", default=[form for _, form in WORKS])
    parser.add_argument("--work", nargs=2, metavar=("MODEL", "FORM"), help="in this process, for the others")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.work:
        name, form = options.work
        torch.manual_seed(0)
        made = sd.fuse(sd.create_model(name).eval())
        assert isinstance(made, LanguageModel)
        for row in measure(made, form, _points(made, options.tokens)):
            print(json.dumps({"model": name, **row}), flush=True)
        return
    results.refuse_while_red()
    words = [sys.executable, __file__, "--tokens", *map(str, options.tokens), "--work"]
    # side by side: what a process keeps does not depend on its neighbours
    chosen = [work for work in WORKS if work[0] in options.models and work[1] in options.forms]
    started = [subprocess.Popen([*words, *work], stdout=subprocess.PIPE, text=True) for work in chosen]
    rows: list[dict[str, object]] = []
    for process in started:
        said, _ = process.communicate()
        if process.returncode:
            sys.exit("error: a measurement failed, see above; nothing is written. Run it again.")
        rows += [json.loads(line) for line in said.splitlines()]
    results.write("token_memory", merged(results.read("token_memory"), rows))


if __name__ == "__main__":
    main()
