"""The event-gated recurrent unit, as EvNN has it."""

from __future__ import annotations

import pytest
import torch

from spikedrive.errors import ConfigError, ShapeError
from spikedrive.neurons import EGRU

KEYS = {
    "kernel": "input_weight",
    "recurrent_kernel": "recurrent_weight",
    "bias": "input_bias",
    "recurrent_bias": "recurrent_bias",
    "thr": "threshold",
}


@pytest.mark.parametrize("case", ["damp0.7_sup1.0", "damp3.6_sup3.6"])
def test_it_equals_the_original(case, golden) -> None:
    entry = torch.load(golden("egru") / "egru_layer.pt")[case]
    saved = entry["state_dict"]
    cell = EGRU(
        12, 20, damping=float(saved["dampening_factor"]), support=float(saved["pseudo_derivative_support"])
    )
    cell.load_state_dict({ours: saved[theirs] for theirs, ours in KEYS.items()})
    x, y0 = entry["x"].clone().requires_grad_(), entry["h0"][0].clone().requires_grad_()
    y, (c, _) = cell.scan(x.transpose(0, 1), (torch.zeros(3, 20), y0))
    y.backward(entry["grad_out"].transpose(0, 1))
    torch.testing.assert_close(y.transpose(0, 1), entry["y"], rtol=0, atol=1e-5)
    torch.testing.assert_close(c, entry["h_cell"][:, -1], rtol=0, atol=1e-5)
    assert torch.equal((y != 0).transpose(0, 1), entry["events"] != 0)
    torch.testing.assert_close(x.grad, entry["grad_x"], rtol=0, atol=1e-5)
    torch.testing.assert_close(y0.grad, entry["grad_h0"][0], rtol=0, atol=1e-5)
    for theirs, ours in KEYS.items():
        torch.testing.assert_close(getattr(cell, ours).grad, entry["grads"][theirs], rtol=1e-5, atol=1e-5)


def test_a_higher_threshold_speaks_less() -> None:
    x = torch.randn(30, 8, 6)
    rates = []
    for mean in (0.05, 0.3, 0.8):
        torch.manual_seed(0)
        rates.append(float((EGRU(6, 64, mean_threshold=mean)(x) != 0).float().mean()))
    assert rates == sorted(rates, reverse=True) and rates[0] > 2 * rates[-1]


def test_under_autocast_the_cell_computes_in_its_own_type() -> None:
    cell, x = EGRU(4, 9), torch.randn(10, 2, 4).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = cell(x)
    expected = cell(x.float())
    assert torch.equal(y, expected)
    found, wanted = (torch.autograd.grad(out.sum(), list(cell.parameters())) for out in (y, expected))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_the_original_starts_its_cell_afresh_with_every_chunk() -> None:
    cell, x = EGRU(4, 9), torch.randn(10, 2, 4)
    whole = cell(x)
    _, (c, y) = cell.scan(x[:5], cell.rest(x))
    assert torch.equal(cell.scan(x[5:], (c, y))[0], whole[5:])
    assert not torch.equal(cell.scan(x[5:], (torch.zeros_like(c), y))[0], whole[5:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": 0}, r"EGRU got features=0; it takes a number at least 1. Change features"),
        ({"mean_threshold": 0}, r"got mean_threshold=0; it takes a number above 0 and at most 0.99"),
        ({"support": -1}, r"got support=-1; it takes a number above 0"),
        ({"damping": 0}, r"got damping=0; it takes a number above 0"),
    ],
)
def test_a_wrong_argument_is_refused(arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        EGRU(**{"inputs": 3, "features": 4, **arguments})


def test_an_input_of_another_width_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"shape \(2, 1, 5\); it takes \(T, B, ..., 3\). Give it that many"):
        EGRU(3, 4)(torch.zeros(2, 1, 5))
