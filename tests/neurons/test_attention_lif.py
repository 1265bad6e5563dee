"""The leaky neuron of TA-SNN and ASA-SNN."""

from __future__ import annotations

import pytest
import torch

from spikedrive.errors import ConfigError
from spikedrive.neurons import LIF, AttentionLIF
from spikedrive.ops import surrogate


def test_output_and_gradient_equal_the_original(golden) -> None:
    entry = torch.load(golden("vision_neurons") / "neurons.pt")["lif_asa_tasnn"]
    x = entry["x"].clone().requires_grad_()
    y = AttentionLIF()(x)
    y.backward(entry["cotangent"])
    torch.testing.assert_close(y, entry["y"], rtol=0, atol=1e-9)
    torch.testing.assert_close(x.grad, entry["grad_x"], rtol=0, atol=1e-9)


def test_without_a_reset_value_it_is_a_leaky_neuron() -> None:
    x = torch.randn(6, 3, 20, dtype=torch.float64)
    leaky = LIF(0.3, 0.3, decay_input=False, detach_reset=False, surrogate=surrogate.rectangular(0.5))
    assert torch.equal(AttentionLIF()(x), leaky(x))


def test_a_reset_value_leaks_once_and_then_stays_low() -> None:
    neuron = AttentionLIF(reset_value=0.3)
    x = torch.tensor([0.4, 0.0, 0.22]).view(3, 1, 1)
    y, v = neuron.scan(x, neuron.rest(x))
    # 0.3 after the spike leaks to 0.09, then to 0.027, and 0.247 is below the threshold
    assert y.flatten().tolist() == [1.0, 0.0, 0.0]
    torch.testing.assert_close(v, torch.tensor([[0.3 * (0.3 * 0.09 + 0.22)]]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decay": -0.1}, r"AttentionLIF got decay=-0.1; it takes a number at least 0 and at most 1"),
        ({"threshold": 0}, r"AttentionLIF got threshold=0; it takes a number above 0. Change threshold"),
    ],
)
def test_a_wrong_argument_is_refused(arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        AttentionLIF(**arguments)
