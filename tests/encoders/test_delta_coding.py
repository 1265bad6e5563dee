"""Delta coding: what was sent adds up to the signal."""

from __future__ import annotations

import pytest
import torch

from spikedrive.auditing import audit
from spikedrive.encoders import Delta
from spikedrive.errors import ConfigError, DtypeError, ShapeError
from spikedrive.neurons import Accumulate
from spikedrive.state import run


@pytest.mark.parametrize(("threshold", "levels"), [(0.1, 1), (0.05, 3), (0.3, 8)])
def test_the_sum_of_the_spikes_follows_the_signal(threshold, levels) -> None:
    t = torch.linspace(0, 12, 400).view(-1, 1, 1)
    x = torch.sin(t) + 0.3 * torch.sin(3 * t)
    assert float(x.diff(dim=0).abs().max()) < threshold * levels
    y = Delta(threshold, levels)(x)
    assert float((Accumulate()(y) - x).abs().max()) < threshold * (1 + 1e-5)
    n = y / threshold
    torch.testing.assert_close(n, n.round(), rtol=0, atol=1e-5)
    assert n.abs().max() <= levels


def test_a_signal_that_stands_still_is_silent() -> None:
    y = Delta(0.1, 100)(torch.full((10, 2, 3), 1.234))
    assert y[0].count_nonzero() == 6 and y[1:].count_nonzero() == 0


def test_it_catches_up_after_a_jump() -> None:
    x = torch.ones(20, 1, 1)
    y = Delta(0.25, 1)(x).flatten()
    assert y.tolist() == [0.25] * 4 + [0.0] * 16


def test_a_larger_threshold_sends_less() -> None:
    x = torch.cumsum(torch.randn(200, 1, 20) * 0.1, 0)
    sent = [int(Delta(threshold, 4)(x).count_nonzero()) for threshold in (0.05, 0.2, 0.8)]
    assert sent == sorted(sent, reverse=True) and sent[0] > 2 * sent[-1]


def test_chunks_equal_the_whole() -> None:
    encoder, x, parts, state = Delta(0.2, 2), torch.randn(9, 2, 3), [], None
    for part in x.split([1, 5, 3]):
        y, state = run(encoder, part, state)
        parts.append(y)
    assert torch.equal(torch.cat(parts), encoder(x))


def test_it_declares_what_leaves_it_and_the_layer_behind_it_only_adds() -> None:
    assert (
        str(Delta(0.5).domain) == "ternary -1..1 x 0.5" and str(Delta(0.5, 3).domain) == "integer -3..3 x 0.5"
    )
    net = torch.nn.Sequential(Delta(0.3, 2), torch.nn.Linear(5, 4, bias=False))
    result = audit(net, torch.randn(3, 1, 5), batch_axis=1)
    assert result.verdict == "additive" and result.analog == ()
    row = next(row for row in result.layers if row.module == "1")
    assert row.domain == "integer -2..2 x 0.3" and row.additions == 3 * 5 * 4 * 2


def test_what_is_wrong_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"Delta got threshold=0; it takes a number above 0. Change threshold"
    ):
        Delta(0)
    with pytest.raises(ConfigError, match=r"Delta got levels=0; it takes a number at least 1"):
        Delta(0.1, 0)
    with pytest.raises(
        ShapeError, match=r"Delta got x of shape \(0, 2\); it takes \(T, B, ...\) with T >= 1"
    ):
        Delta(0.1).scan(torch.zeros(0, 2), torch.zeros(2))
    with pytest.raises(
        DtypeError, match=r"Delta got x of dtype torch.int64; it takes floating point. Convert"
    ):
        Delta(0.1)(torch.zeros(2, 2, dtype=torch.int64))
