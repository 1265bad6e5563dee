"""Weights of a few bits with a learned step a channel: the original's values and gradients, and an exact fold."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

import spikedrive as sd
from spikedrive.blocks import LearnedStep, quantise_weights
from spikedrive.errors import ConfigError


def test_values_and_gradients_equal_the_original(golden) -> None:
    entry = torch.load(golden("vision_neurons") / "neurons.pt")["lsq_conv2d_4bit"]
    out_channels, in_channels, size, _ = entry["weight"].shape
    conv = nn.Conv2d(in_channels, out_channels, size, padding=1).double()
    quantise_weights(conv, bits=4)
    with torch.no_grad():
        conv.bias.copy_(entry["bias"])
        conv.parametrizations.weight.original.copy_(entry["weight"])
        conv.parametrizations.weight[0].step.copy_(entry["alpha"])
    x = entry["x"].clone().requires_grad_()
    y = conv(x)
    y.backward(entry["cotangent"])
    torch.testing.assert_close(y, entry["y"], rtol=0, atol=1e-9)
    torch.testing.assert_close(x.grad, entry["grad_x"], rtol=0, atol=1e-9)
    got = conv.parametrizations.weight
    torch.testing.assert_close(got.original.grad, entry["grad_w"], rtol=0, atol=1e-9)
    torch.testing.assert_close(got[0].step.grad, entry["grad_alpha"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_each_channel_takes_few_values_on_its_own_grid(bits: int) -> None:
    layer = nn.Linear(64, 3)
    quantise_weights(layer, bits=bits)
    step = layer.parametrizations.weight[0].step
    with torch.no_grad():
        step.mul_(torch.tensor([0.5, 1.0, 2.0]))
        levels = layer.weight / step[:, None]
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    assert levels.min() >= -(2 ** (bits - 1)) and levels.max() <= 2 ** (bits - 1) - 1
    assert not torch.equal(step[0], step[1])
    tracked = layer.weight
    with torch.no_grad():
        assert torch.equal(layer.weight, tracked)


def test_a_fused_model_holds_the_quantised_values_as_plain_weights() -> None:
    model = sd.create_model("meta_spikeformer_nano", widths=(8, 16, 16))
    quantise_weights(model, bits=3)
    model = model.double().eval()
    fused = sd.fuse(model)
    assert any(parametrize.is_parametrized(m) for m in model.modules())
    assert not any(parametrize.is_parametrized(m) for m in fused.modules())
    x = torch.randn(2, 1, 28, 28, dtype=torch.float64)
    torch.testing.assert_close(fused(x), model(x), rtol=0, atol=1e-9)
    assert torch.equal(fused.head.linear.weight, model.head.linear.weight)


def test_bits_out_of_range_are_named() -> None:
    with pytest.raises(
        ConfigError, match="LearnedStep got bits=1; it takes a number at least 2 and at most 8"
    ):
        LearnedStep(torch.ones(2, 2), bits=1)
