"""The benchmark of memory: a recurrent state stays as large as it is, that of attention grows."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import spikedrive as sd


@pytest.fixture(scope="module")
def benchmark() -> Any:
    folder = str(Path(__file__).resolve().parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("token_memory"), importlib.import_module("memory_table")
    finally:
        sys.path.remove(folder)


def test_a_recurrent_state_stays_and_that_of_attention_grows(benchmark) -> None:
    memory, table = benchmark
    works = {
        ("spikegpt_6m", "PyTorch"): {"width": 16, "depth": 1},
        ("spikegpt_additive_6m", "integer program"): {"width": 16, "depth": 1},
        ("gpt_dense_6m", "PyTorch"): {"width": 16, "depth": 1, "heads": 1, "context": 12},
    }
    rows = []
    for (name, form), small in works.items():
        model = sd.create_model(name, **small).eval()
        points = memory._points(model, (4, 8, 12))
        rows += [{"model": name, **row} for row in memory.measure(model, form, points)]
    held = {name: [r["state_bytes"] for r in rows if r["model"] == name] for name, _ in works}
    # wkv's three numbers a channel, two shifts, two membranes; membranes of 64 bits; k and v of each token
    assert held["spikegpt_6m"] == [4 * 16 * (3 + 2 + 2)] * 3
    assert held["spikegpt_additive_6m"] == [8 * 16] * 3
    assert held["gpt_dense_6m"] == [4 * 2 * 16 * 4, 4 * 2 * 16 * 8]
    assert all(row["grown_kb"] >= 0 for row in rows)
    said = table.page(
        [{**{k: str(v) for k, v in r.items()}, "cpu": "x", "date": "y", "commit": "z"} for r in rows]
    )
    assert said.splitlines()[0].endswith("| 4 | 8 | 12 |") and "`gpt_dense_6m`, PyTorch | 1 / " in said
    assert said.splitlines()[4].endswith("| - |")


def test_memory_behind_a_view_counts_once(benchmark) -> None:
    whole = torch.zeros(8, 4)
    assert benchmark[0].held_bytes({"a": whole[-1], "b": (whole[0], 3)}) == 8 * 4 * 4


def test_other_numbers_of_tokens_keep_their_rows(benchmark) -> None:
    old = [
        {"model": "spikegpt_6m", "form": "PyTorch", "tokens": t, "state_bytes": "1"} for t in ("10", "100")
    ]
    new = [{"model": "spikegpt_6m", "form": "PyTorch", "tokens": 100, "state_bytes": 2}]
    found = benchmark[0].merged(
        old, [*new, {**new[0], "form": "PyTorch", "model": "gpt_dense_6m", "tokens": 5}]
    )
    assert [(row["tokens"], row["state_bytes"]) for row in found] == [("10", "1"), (100, 2), (5, 2)]
