"""QCFS: the rule and its gradients, and the rate of the neuron that it becomes."""

from __future__ import annotations

import pytest
import torch

from spikedrive.errors import ConfigError
from spikedrive.neurons import QCFS


def test_value_and_gradients_equal_the_rule(golden) -> None:
    case = torch.load(golden("qcfs") / "cases.pt")
    neuron = QCFS(case["L"], float(case["lam"])).double()
    a = case["a"].view(1, 1, -1).requires_grad_()
    y = neuron(a)
    y.backward(case["upstream"].view_as(y))
    torch.testing.assert_close(y.flatten(), case["qcfs"], rtol=0, atol=1e-9)
    torch.testing.assert_close(a.grad.flatten(), case["grad_a"], rtol=0, atol=1e-9)
    torch.testing.assert_close(neuron.ceiling.grad, case["grad_lam"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 16])
def test_rates_equal_the_converted_neuron(steps: int, golden) -> None:
    case = torch.load(golden("qcfs") / "cases.pt")
    neuron = QCFS(case["L"], float(case["lam"]), spiking=True).double()
    rate = neuron(case["a"].view(1, 1, -1).expand(steps, 1, -1)).mean(0).flatten()
    torch.testing.assert_close(rate, case[f"snn_rate_T{steps}"], rtol=0, atol=1e-9)


def test_as_many_steps_as_levels_give_the_trained_answer() -> None:
    trained, spiking = QCFS(5, 1.7).double(), QCFS(5, spiking=True).double()
    spiking.load_state_dict(trained.state_dict())
    x = torch.randn(1, 3, 50, dtype=torch.float64) * 2
    rate = spiking(x.expand(5, 3, 50)).mean(0)
    torch.testing.assert_close(rate, trained(x)[0], rtol=0, atol=1e-12)
    assert rate.unique().numel() == 6


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ConfigError, match="QCFS got levels=0"):
        QCFS(0)
    with pytest.raises(ConfigError, match="QCFS got ceiling=0"):
        QCFS(ceiling=0)
