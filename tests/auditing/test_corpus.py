"""Every network of the corpus gets the verdict and the counts of the hand calculation."""

from __future__ import annotations

import functools

import pytest
import torch

from auditing.corpus import CORPUS
from auditing.nets import Case
from spikedrive.auditing import audit
from spikedrive.auditing.rules import RULES
from spikedrive.auditing.trace import Graph, trace

COUNTED = (
    "dense_macs", "additions", "multiplications", "functions", "shifts", "compares", "ands", "sums", "lookups",
    "membrane_updates",
)  # fmt: skip


def example_of(case: Case, batch: int = 2) -> torch.Tensor:
    shape = list(case.shape)
    shape.insert(case.batch_axis, batch)
    if case.inputs:
        return torch.randint(case.inputs[0].low, case.inputs[0].high + 1, shape).float()
    return torch.randn(shape).abs() * 2


@functools.cache
def graph_of(case: Case) -> Graph:
    """The traced network; tracing takes longer than everything else here."""
    return trace(
        case.net().eval(), example_of(case), batch_axis=case.batch_axis, decompose=lambda op: op not in RULES
    )


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_verdict_and_counts(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikedrive.auditing.verdict.trace", lambda *_, **__: graph_of(case))
    result = audit(
        case.net().eval(), example_of(case), data=case.data, inputs=case.inputs, batch_axis=case.batch_axis
    )
    counted = {key: result.totals[key] for key in COUNTED if result.totals[key]}
    assert (result.verdict, counted) == (case.verdict, {k: v for k, v in case.counts.items() if v})
    assert result.analog == case.analog
    assert len(result.exceptions) == 0 or result.verdict != "additive"


def test_names_are_unique() -> None:
    names = [case.name for case in CORPUS]
    assert len(set(names)) == len(names) >= 160
