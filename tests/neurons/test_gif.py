"""Generalised integrate-and-fire: SpikeLLM's codes, spikes and layers."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import linear

from spikedrive.errors import ConfigError, ShapeError
from spikedrive.neurons import GIF
from spikedrive.neurons.gif import fire_off, token_code

FILES = ["spike_linear_a2_add1", "spike_linear_a4_add1", "spike_linear_a4_add2"]


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
def test_the_code_of_a_token_equals_the_original(bits, symmetric, golden) -> None:
    entry = torch.load(golden("spikellm") / "affine_quantizer.pt")[f"act_b{bits}_sym{symmetric}"]
    x = entry["x"].clone().requires_grad_()
    code, scale, zero = token_code(x, bits, symmetric=symmetric)
    y = GIF(bits, 0, scale=None, symmetric=symmetric)(x)
    y.backward(entry["grad_out"])
    for found, expected in (
        (y, entry["y"]),
        (scale, entry["scale"]),
        (zero, entry["zp"]),
        ((code - zero) * scale, entry["y"]),
        (x.grad, entry["grad_x"]),
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("file", FILES)
def test_the_spikes_of_a_code_equal_the_original(file, golden) -> None:
    entry = torch.load(golden("spikellm") / f"{file}.pt")
    spikes = fire_off(entry["gif_input_int"], entry["cfg"]["abits"], entry["cfg"]["addbit"])
    assert torch.equal(spikes, entry["gif_spikes_steps_first"])


@pytest.mark.parametrize("file", FILES)
def test_a_layer_of_mixed_bits_equals_the_original(file, golden) -> None:
    entry = torch.load(golden("spikellm") / f"{file}.pt")
    neuron = GIF(entry["cfg"]["abits"], entry["cfg"]["addbit"], scale=None, keep_top_codes=True)
    neuron.set_salient(~entry["mask_low"].flatten())
    y = linear(neuron(entry["x"]), entry["weight"], entry["bias"])
    torch.testing.assert_close(y, entry["outputs"]["fake_binary_simulate"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("file", "most"), list(zip(FILES, (2.1, 0.45, 0.45), strict=True)))
def test_spikes_that_run_out_cost_no_more_than_the_top_codes(file, most, golden) -> None:
    entry = torch.load(golden("spikellm") / f"{file}.pt")
    outputs = []
    for keep in (True, False):
        neuron = GIF(entry["cfg"]["abits"], entry["cfg"]["addbit"], scale=None, keep_top_codes=keep)
        neuron.set_salient(~entry["mask_low"].flatten())
        outputs.append(linear(neuron(entry["x"]), entry["weight"], entry["bias"]))
    assert 0 < float((outputs[0] - outputs[1]).abs().max()) < most


@pytest.mark.parametrize(("bits", "extra_bits"), [(1, 2), (2, 1), (4, 1), (4, 2)])
def test_the_output_is_the_sum_of_the_spikes(bits, extra_bits) -> None:
    neuron = GIF(bits, extra_bits, zero_point=0)
    code = torch.arange(2.0 ** (bits + extra_bits))
    spikes = fire_off(code, bits, extra_bits)
    assert torch.equal(neuron(code.view(1, 1, -1)).flatten(), spikes.sum(0))
    assert spikes.max() == 2**bits - 1 and len(spikes) == 2**extra_bits
    # the highest codes lose what their spikes cannot hold
    assert float((code - spikes.sum(0)).max()) == 2**extra_bits - 1
    assert torch.equal(
        GIF(bits, extra_bits, zero_point=0, keep_top_codes=True)(code.view(1, 1, -1)).flatten(), code
    )


def test_extra_bits_bring_salient_channels_closer() -> None:
    x = torch.randn(1, 64, 32)
    neuron = GIF(3, 1, scale=None)
    plain = (GIF(3, 0, scale=None)(x) - x).abs()
    neuron.set_salient(torch.arange(32) < 4)
    mixed = (neuron(x) - x).abs()
    assert mixed[..., :4].mean() < 0.6 * plain[..., :4].mean()
    assert torch.equal(mixed[..., 4:], plain[..., 4:])


def test_the_gradient_ends_half_a_step_beyond_the_codes() -> None:
    x = torch.tensor([-0.6, -0.4, 0.5, 3.0, 3.4, 3.6]).view(1, 1, 6).requires_grad_()
    GIF(2, 0, zero_point=0)(x).sum().backward()
    assert x.grad.flatten().tolist() == [0, 1, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bits": 0}, r"GIF got bits=0; it takes a number at least 1 and at most 16. Change bits"),
        ({"extra_bits": -1}, r"got extra_bits=-1"),
        ({"scale": 0}, r"got scale=0; it takes a number above 0"),
        ({"zero_point": 99}, r"got zero_point=99; it takes a number at least 0 and at most 30"),
        ({"scale": None, "zero_point": 1}, r"scale=None and zero_point=1; .* Leave zero_point out"),
    ],
)
def test_a_wrong_argument_is_refused(arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        GIF(**arguments)


def test_a_salient_mask_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"salient channels and scale=1, .* Leave the scale out"):
        GIF().set_salient(torch.ones(3, dtype=torch.bool))
    neuron = GIF(scale=None)
    neuron.set_salient(torch.ones(3, dtype=torch.bool))
    with pytest.raises(ShapeError, match=r"shape \(1, 2, 5\) and a salient mask of 3 channels"):
        neuron(torch.randn(1, 2, 5))
