"""The language stack of the benchmarks, small: its three forms say the same, token by token."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import spikedrive as sd
from spikedrive.engine.arithmetic import Embedding
from spikedrive.engine.runtime import Program
from spikedrive.engine.twin import Twin
from spikedrive.engine.verify import verify

SIZES = {"vocabulary": 300, "width": 32, "hidden": 64, "layers": 1}
IDS = torch.randint(0, 300, (24, 3), generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def language_stack() -> Any:
    folder = str(Path(__file__).resolve().parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("language_stack")
    finally:
        sys.path.remove(folder)


@pytest.fixture(scope="module")
def program(language_stack) -> tuple[Any, Program]:
    """A small stack and its program."""
    model, _ = language_stack.stack(0.2, **SIZES)
    return model, sd.compile(model, IDS[:1, :1])


def test_the_projections_read_the_density_that_was_asked_for(language_stack):
    model, reached = language_stack.stack(0.1, **SIZES)
    assert reached == pytest.approx(0.1, rel=0.25)
    assert reached != language_stack.read_density(model, IDS) == pytest.approx(0.1, rel=0.4)


@torch.inference_mode()
def test_the_plain_form_is_the_network(language_stack, program):
    model = program[0].double()
    plain, state = language_stack.PlainStack(model), None
    for token in IDS[:, :1]:
        wanted, state = sd.run(model, token[None], state)
        assert torch.allclose(plain(token), wanted[0], atol=1e-12)
    model.float()


@torch.inference_mode()
def test_the_stream_of_the_program_is_that_of_the_network(program):
    """Though each leak rounds after the first token: thresholds of this seed lie further away than that."""
    model, integers = program
    assert sd.audit(model, IDS[:1, :1]).verdict == "additive"
    assert integers.steps == 1 and integers.takes_tokens
    assert verify(integers, model, IDS.flatten()).equal
    twin, stream, state = Twin(integers, model).model, integers.stream(), None
    for ids in IDS:
        wanted, state = sd.run(twin, ids[None], state)
        assert np.allclose(stream(ids).logits, wanted[0].numpy(), atol=1e-9)
    assert any(isinstance(op, Embedding) for op in integers.ops)


def test_a_race_gives_a_row_for_each_rival(language_stack, monkeypatch):
    monkeypatch.setattr(
        language_stack, "stack", lambda density, real=language_stack.stack: real(density, **SIZES)
    )
    monkeypatch.setattr(language_stack, "VOCABULARY", 300)
    turns = lambda works, rounds: {name: [work() or 1.0] for name, work in works.items()}  # noqa: E731
    monkeypatch.setattr(language_stack, "race", turns)
    rows = language_stack.rows(0.2, rounds=1, tokens=2)
    assert [row["against"] for row in rows] == ["PyTorch fp32", "PyTorch dynamic int8"]
    assert all(
        row["ratio"] == 1.0 and row["ours_ms"] == 500.0 and "density 0.2" in row["work"] for row in rows
    )
