"""Trained on integers in one step, run in D binary steps: one set of weights, one answer."""

from __future__ import annotations

import pytest
from families import inputs, tiny

import spikedrive as sd

# unrolling takes seconds
OTHERS = [
    pytest.param(f, marks=pytest.mark.slow) for f in ("v3", "v3_large", "v3_large_spiking", "qsd", "qsd_nano")
]


@pytest.mark.parametrize("family", ["v3_nano", *OTHERS])
def test_integers_and_binary_steps_give_equal_answers(family: str) -> None:
    model = sd.fuse(tiny(family), dense_separable=True)
    x = inputs(family, model, batch=2)
    report = sd.verify_unrolled(model, x, unrolled=sd.unroll(model, x[:1]))
    assert report.equal
    assert report.exact.compared > 1000
