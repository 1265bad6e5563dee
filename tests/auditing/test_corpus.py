"""Every network of the corpus gets the verdict and the counts of the hand calculation."""

from __future__ import annotations

import pytest

from auditing.corpus import CORPUS
from auditing.corpus.traced import example_of, graph_of
from auditing.nets import Case
from spikedrive.auditing import audit

COUNTED = (
    "dense_macs", "additions", "multiplications", "functions", "shifts", "compares", "ands", "sums", "lookups",
    "membrane_updates",
)  # fmt: skip


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
    assert len(set(names)) == len(names) >= 350
