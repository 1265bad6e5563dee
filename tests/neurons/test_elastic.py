"""Elastic bi-spikes: as SpikeLM's code has them, and what its amplitude means."""

from __future__ import annotations

import pytest
import torch

from spikedrive.errors import ConfigError, ShapeError
from spikedrive.neurons import ElasticBiSpike


@pytest.mark.parametrize("case", [f"bits{b}_scale{s}" for b in (1, 2) for s in (0.3, 1.0, 2.5)])
def test_one_step_equals_the_original(case, golden) -> None:
    entry = torch.load(golden("spikelm") / "elastic_bispike.pt")[case]
    neuron = ElasticBiSpike(
        amplitude=entry["alpha"], signs_only=case.startswith("bits1"), learn_amplitude=True
    )
    x = entry["x"][None].clone().requires_grad_()
    y = neuron(x)
    y.backward(entry["grad_out"][None])
    torch.testing.assert_close(y[0], entry["y"], rtol=0, atol=1e-5)
    torch.testing.assert_close(x.grad[0], entry["grad_x"], rtol=0, atol=1e-5)
    torch.testing.assert_close(neuron.amplitude.grad, entry["grad_alpha"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", ["init_bits1", "init_bits2"])
def test_calibration_equals_the_first_call_of_the_original(case, golden) -> None:
    entry = torch.load(golden("spikelm") / "elastic_bispike.pt")[case]
    neuron = ElasticBiSpike(signs_only=case == "init_bits1")
    neuron.calibrate(entry["x"][None])
    torch.testing.assert_close(neuron.amplitude, entry["alpha_after_init"], rtol=0, atol=1e-5)
    torch.testing.assert_close(neuron(entry["x"][None])[0], entry["y"], rtol=0, atol=1e-5)


def test_four_steps_before_a_linear_layer_equal_the_original(golden) -> None:
    entry = torch.load(golden("spikelm") / "spike_linear_T4.pt")
    saved = entry["state_dict_after_first_call"]
    neuron = ElasticBiSpike(steps=4)
    x = entry["x_T_B_L_C"].clone().requires_grad_()
    neuron.calibrate(x)
    torch.testing.assert_close(neuron.amplitude, torch.tensor(entry["alphas"]), rtol=0, atol=1e-5)
    weight, bias = saved["weight"].clone().requires_grad_(), saved["bias"].clone().requires_grad_()
    y = torch.nn.functional.linear(neuron(x), weight, bias)
    y.backward(entry["grad_out"])
    for found, expected in (
        (y, entry["y"]),
        (x.grad, entry["grad_x"]),
        (weight.grad, entry["grad_weight"]),
        (bias.grad, entry["grad_bias"]),
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_amplitude_folds_into_the_next_weight() -> None:
    neuron = ElasticBiSpike(amplitude=0.25)
    x, weight = torch.randn(4, 3, 9), torch.randn(5, 9)
    assert torch.equal(neuron(x) @ weight.T, neuron(x) / 0.25 @ (weight * 0.25).T)


def test_a_larger_spread_fires_more_seldom() -> None:
    x = torch.randn(4, 8, 100)
    rates = []
    for spread in (0.5, 1.0, 2.0, 4.0):
        neuron = ElasticBiSpike(spread)
        neuron.calibrate(x)
        rates.append(float(neuron(x).count_nonzero()) / x.numel())
    assert rates == sorted(rates, reverse=True) and rates[0] > 2 * rates[-1]


def test_what_is_kept_depends_on_the_sign_of_the_spike() -> None:
    neuron = ElasticBiSpike()
    x = torch.tensor([2.0, 0.4, -2.0]).view(1, 1, 3)
    _, kept = neuron.scan(x, neuron.rest(x))
    assert torch.equal(kept.flatten(), torch.tensor([0.0, 0.4, -4.0]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"amplitude": 0}, r"ElasticBiSpike got amplitude=0; it takes a number above 0. Change amplitude"),
        ({"spread": -1}, r"got spread=-1; it takes a number above 0"),
        ({"decay": 1.5}, r"got decay=1.5; it takes a number at least 0 and at most 1"),
        ({"steps": 0}, r"got steps=0; it takes a number at least 1"),
    ],
)
def test_a_wrong_argument_is_refused(arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        ElasticBiSpike(**arguments)


def test_another_number_of_steps_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"shape \(3, 1, 2\); it takes the 4 steps .* Encode that many"):
        ElasticBiSpike(steps=4)(torch.zeros(3, 1, 2))
