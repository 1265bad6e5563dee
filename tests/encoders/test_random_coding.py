"""Poisson rates and randomised smoothing: right on average, and the same again for a seed."""

from __future__ import annotations

import pytest
import torch

from spikedrive.auditing import audit
from spikedrive.encoders import RSC, Direct, Poisson
from spikedrive.errors import ConfigError, DtypeError, ValueRangeError
from spikedrive.state import run

MAKE = {"Poisson": lambda **k: Poisson(6, **k), "RSC": lambda **k: RSC(6, sigma=0.5, **k)}


def test_the_rate_converges_to_the_intensity() -> None:
    x = torch.linspace(0, 1, 11).repeat(50, 1)
    steps = 400
    s = Poisson(steps, seed=3)(x)
    assert s.unique().tolist() == [0.0, 1.0]
    error = (s.mean((0, 1)) - x[0]).abs()
    # four standard deviations of a mean of coin tosses
    assert (error <= 4 * (x[0] * (1 - x[0]) / (50 * steps)).sqrt()).all()


def test_steps_and_neurons_are_independent() -> None:
    s = Poisson(2000, seed=0)(torch.full((1, 8), 0.5))[:, 0]
    seen = torch.corrcoef(torch.cat([s[1:], s[:-1]], 1).T)
    assert float((seen - torch.eye(16)).abs().max()) < 0.1


def test_the_noise_has_its_deviation_and_the_input_as_its_mean() -> None:
    x = torch.tensor([-1.0, 0.0, 2.0])
    y = RSC(400, sigma=0.7, seed=1)(x.repeat(100, 1))
    torch.testing.assert_close(y.mean((0, 1)), x, rtol=0, atol=0.02)
    torch.testing.assert_close(y.std((0, 1)), torch.full((3,), 0.7), rtol=0, atol=0.02)


def test_without_noise_it_is_direct_coding() -> None:
    x = torch.randn(3, 2, 4)
    assert torch.equal(RSC(5, sigma=0.0)(x), Direct(5)(x))


def test_the_gradient_of_the_noisy_input_is_that_of_every_step() -> None:
    x = torch.randn(2, 3, requires_grad=True)
    RSC(4, sigma=1.0)(x).sum().backward()
    assert torch.equal(x.grad, torch.full((2, 3), 4.0))


@pytest.mark.parametrize("name", MAKE)
def test_a_seed_gives_the_same_at_every_call_and_in_chunks(name) -> None:
    x, encoder = torch.rand(2, 5), MAKE[name](seed=7)
    whole = encoder(x)
    assert torch.equal(encoder(x), whole)
    assert not torch.equal(MAKE[name](seed=8)(x), whole)
    first, state = run(encoder, x, steps=2)
    then, state = run(encoder, x, state, steps=1)
    last, _ = run(encoder, x, state, steps=3)
    assert torch.equal(torch.cat([first, then, last]), whole)


@pytest.mark.parametrize("name", MAKE)
def test_without_a_seed_the_global_generator_decides(name) -> None:
    x, encoder = torch.rand(2, 50), MAKE[name]()
    torch.manual_seed(1)
    one, other = encoder(x), encoder(x)
    assert not torch.equal(one, other)
    torch.manual_seed(1)
    assert torch.equal(encoder(x), one)
    first, state = run(encoder, x, steps=3)
    again = [run(encoder, x, state, steps=3)[0] for _ in range(2)]
    # one stream keeps the seed that it drew
    assert torch.equal(*again) and not torch.equal(again[0], first)


@pytest.mark.parametrize("seed", [None, 3])
def test_the_layer_behind_rates_only_adds(seed) -> None:
    net = torch.nn.Sequential(Poisson(4, seed=seed), torch.nn.Linear(6, 2, bias=False))
    result = audit(net, torch.rand(1, 6))
    assert result.verdict == "additive" and result.analog == ()
    assert result.totals["additions"] == 4 * 6 * 2
    assert result.totals["dense_macs"] == 6 * 2


def test_the_layer_behind_noise_is_the_analog_one() -> None:
    net = torch.nn.Sequential(RSC(4, sigma=0.3, seed=1), torch.nn.Linear(6, 2, bias=False))
    result = audit(net, torch.rand(1, 6))
    assert result.verdict == "additive" and result.analog == ("1",)


def test_what_is_no_intensity_is_refused() -> None:
    with pytest.raises(
        ValueRangeError, match=r"Poisson got values from -1 to 2; it takes intensities between 0 and 1"
    ):
        Poisson()(torch.tensor([[-1.0, 2.0]]))
    with pytest.raises(ValueRangeError, match=r"Poisson got values from nan to nan.* Scale the input"):
        Poisson()(torch.tensor([[torch.nan]]))
    with pytest.raises(DtypeError, match=r"RSC got x of dtype torch.uint8; it takes floating point. Convert"):
        RSC(sigma=1.0)(torch.zeros(1, 2, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Poisson(0), r"Poisson got steps=0; it takes a number at least 1. Change steps"),
        (lambda: Poisson(seed=-1), r"Poisson got seed=-1; it takes a number at least 0"),
        (lambda: RSC(sigma=-0.1), r"RSC got sigma=-0.1; it takes a number at least 0"),
        (lambda: RSC(0, sigma=1.0), r"RSC got steps=0"),
    ],
)
def test_a_wrong_argument_is_refused(make, message) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
