"""SpikeLLM's quantisers, salience and layers against its release."""

from __future__ import annotations

import pytest
import torch

from spikedrive.training.spikellm import Format, SpikingLinear, grids, salience

FILES = ["spike_linear_a2_add1", "spike_linear_a4_add1", "spike_linear_a4_add2"]


def layer_of(entry, *, keep_top_codes: bool) -> SpikingLinear:
    """The golden layer: weights as they are, so that only the activations are coded."""
    config = entry["cfg"]
    form = Format(
        activation_bits=config["abits"],
        activation_spikes=2 ** config["addbit"],
        salient=1 - config["low_p"],
        ranges="token",
    )
    layer = SpikingLinear.of_real_weight(entry["weight"], entry["bias"], form, ~entry["mask_low"].flatten())
    layer.keep_top_codes = keep_top_codes
    return layer


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_affine_grid_equals_the_original(bits, golden) -> None:
    entry = torch.load(golden("spikellm") / "affine_quantizer.pt")[f"act_b{bits}_symFalse"]
    scale, zero = grids.fit_affine(entry["x"], 2**bits - 1)
    y = grids.values(grids.codes(entry["x"], scale, zero, 2**bits - 1), scale, zero)
    for found, expected in ((scale, entry["scale"]), (zero, entry["zp"]), (y, entry["y"])):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_grid_of_clipped_weights_equals_the_original(golden) -> None:
    entry = torch.load(golden("spikellm") / "affine_quantizer.pt")["weight_b4_lwc"]
    w = entry["w"]
    low, high = (
        w.amin(1, keepdim=True) * entry["low"].sigmoid(),
        w.amax(1, keepdim=True) * entry["up"].sigmoid(),
    )
    scale, zero = grids.between(low, high, 15)
    y = grids.values(grids.codes(w, scale, zero, 15), scale, zero)
    for found, expected in ((scale, entry["scale"]), (zero, entry["zp"]), (y, entry["y"])):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("file", FILES)
def test_the_salient_channels_are_those_of_the_original(file, golden) -> None:
    entry = torch.load(golden("spikellm") / f"{file}.pt")
    x = torch.cat(entry["calib"]).flatten(0, 1)
    found = salience.first_order(entry["weight"], x.T @ x / len(x))
    expected = entry["saliency"].mean((0, 1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    mask = salience.most_salient(found, 1 - entry["cfg"]["low_p"])
    assert torch.equal(mask, ~entry["mask_low"].flatten())


@pytest.mark.parametrize("file", FILES)
def test_the_layer_equals_the_fake_mode(file, golden) -> None:
    entry = torch.load(golden("spikellm") / f"{file}.pt")
    y = layer_of(entry, keep_top_codes=True)(entry["x"])
    torch.testing.assert_close(y, entry["outputs"]["fake_binary_simulate"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("file", FILES)
def test_spikes_equal_the_real_mode_but_for_its_fault(file, golden) -> None:
    entry = torch.load(golden("spikellm") / f"{file}.pt")
    layer = layer_of(entry, keep_top_codes=False)
    low, salient = layer.fire(entry["x"])
    assert torch.equal(salient.spikes, entry["gif_spikes_steps_first"][..., salient.channels])
    torch.testing.assert_close(salient.zero, entry["zp_high"], rtol=0, atol=0)
    # the release takes the zero point off over all columns, although the low ones never had it added
    fault = salient.scale * salient.zero * entry["weight"][:, low.channels].sum(1)
    y = layer.unrolled(entry["x"])
    torch.testing.assert_close(y - fault, entry["outputs"]["real_multibit_simulate"], rtol=0, atol=2e-5)
    assert float(fault.abs().max()) > 1


@pytest.mark.parametrize(("file", "most"), list(zip(FILES, (2.1, 0.45, 0.45), strict=True)))
def test_correct_spikes_differ_from_the_fake_mode_by_the_lost_codes_only(file, most, golden) -> None:
    entry = torch.load(golden("spikellm") / f"{file}.pt")
    y = layer_of(entry, keep_top_codes=False).unrolled(entry["x"])
    assert 0 < float((y - entry["outputs"]["fake_binary_simulate"]).abs().max()) < most
