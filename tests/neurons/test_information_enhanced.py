"""The information-enhanced neuron: the published function, and what its levels carry."""

from __future__ import annotations

import math

import pytest
import torch

from spikedrive.errors import ConfigError
from spikedrive.neurons import information_enhanced


@pytest.mark.parametrize("name", ["ielif_qsd_D4", "ielif_qsd_edges", "ielif_qsd_att"])
def test_it_equals_the_original(name, golden) -> None:
    entry = torch.load(golden("vision_neurons") / "neurons.pt")[name]
    shape = entry["x"].shape
    x = entry["x"].reshape(1, *shape) if len(shape) == 2 else entry["x"]
    x = x.clone().requires_grad_()
    y = information_enhanced(attention=name.endswith("att"))(x)
    y.backward(entry["cotangent"].reshape(x.shape))
    torch.testing.assert_close(y.reshape(shape), entry["y"], rtol=0, atol=1e-9)
    torch.testing.assert_close(x.grad.reshape(shape), entry["grad_x"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("levels", [1, 2, 4, 8])
def test_more_levels_carry_more_of_the_membrane(levels) -> None:
    y = information_enhanced(levels)(torch.rand(1, 1, 100_000))
    share = torch.bincount((y * levels).round().long().flatten(), minlength=levels + 1) / y.numel()
    entropy = float(-(share * share.log2()).sum())
    # the two outer levels stand for half as much each
    expected = math.log2(levels) + 1 / levels
    assert entropy == pytest.approx(expected, abs=0.01)


def test_a_wrong_number_of_levels_is_refused() -> None:
    with pytest.raises(ConfigError, match="information_enhanced got levels=0; it takes a number at least 1"):
        information_enhanced(0)
