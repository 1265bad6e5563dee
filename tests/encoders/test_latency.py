"""Latency coding: one spike, the earlier the brighter."""

from __future__ import annotations

import math

import pytest
import torch

from spikedrive.auditing import audit
from spikedrive.encoders import Latency
from spikedrive.errors import ConfigError, UnknownNameError, ValueRangeError
from spikedrive.state import run


@pytest.mark.parametrize("curve", ["linear", "log"])
@pytest.mark.parametrize("steps", [1, 2, 7, 16])
def test_each_value_fires_once_and_brighter_ones_never_later(curve, steps) -> None:
    x = torch.linspace(0, 1, 501)[None]
    s = Latency(steps, curve=curve)(x)
    assert torch.equal(s.sum(0), torch.ones(1, 501))
    when = s.argmax(0)[0]
    assert (when.diff() <= 0).all() and when[0] == steps - 1 and when[-1] == 0


@pytest.mark.parametrize("curve", ["linear", "log"])
def test_the_step_is_that_of_the_equation(curve) -> None:
    steps = 9
    # none of these values lies on an edge
    x = torch.rand(1, 400, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    if curve == "linear":
        f = (steps - 1) * (1 - x)
    else:
        f = (steps - 1) - torch.log((math.exp(steps - 1) - 1) * x + 1)
    assert torch.equal(Latency(steps, curve=curve)(x).argmax(0), f.round().long())


def test_zero_can_be_silent() -> None:
    s = Latency(4, silent_zero=True)(torch.tensor([[0.0, 1e-6, 1.0]]))
    assert s.sum(0).tolist() == [[0.0, 1.0, 1.0]]


def test_chunks_equal_the_whole_and_then_it_is_silent() -> None:
    encoder, x = Latency(5), torch.rand(3, 8)
    parts, state = [], None
    for steps in (2, 1, 2):
        y, state = run(encoder, x, state, steps=steps)
        parts.append(y)
    assert torch.equal(torch.cat(parts), encoder(x))
    assert run(encoder, x, state, steps=3)[0].count_nonzero() == 0


def test_the_layer_behind_it_only_adds() -> None:
    net = torch.nn.Sequential(Latency(4), torch.nn.Linear(6, 2, bias=False))
    result = audit(net, torch.rand(1, 6))
    assert result.verdict == "additive" and result.analog == ()
    assert result.totals["dense_macs"] == 6 * 2
    assert result.totals["compares"] == 2 * 4 * 6 and result.totals["ands"] == 4 * 6


def test_what_is_wrong_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Latency got steps=0; it takes a number at least 1. Change steps"):
        Latency(0)
    with pytest.raises(UnknownNameError, match=r"no curve named 'lin'; 2 are known. The nearest: linear"):
        Latency(3, curve="lin")
    with pytest.raises(ValueRangeError, match=r"Latency got values from 0 to 255; .* Scale the input"):
        Latency(3)(torch.tensor([[0.0, 255.0]]))
