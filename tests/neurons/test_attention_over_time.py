"""The attention layers before the attention neuron."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spikedrive.errors import ConfigError, ShapeError, StateError
from spikedrive.neurons import AttentionLIF, SpatialAttention, TemporalAttention
from spikedrive.state import run


def _spatial(golden, **options) -> tuple[SpatialAttention, torch.Tensor]:
    layer = SpatialAttention(8, 12, reduction=4, lam=0.5, **options)
    layer.load_state_dict(torch.load(golden("asa_module") / "state_dict.pt"))
    return layer, torch.load(golden("asa_module") / "input.pt").transpose(0, 1)


def test_spatial_attention_with_shared_masks_equals_the_original(golden) -> None:
    layer, x = _spatial(golden, shared_masks=True)
    y = layer.double()(x.double()).transpose(0, 1)
    torch.testing.assert_close(y, torch.load(golden("asa_module") / "output.pt"), rtol=0, atol=1e-9)


def test_with_masks_of_its_own_a_sample_ignores_the_rest_of_the_batch(golden) -> None:
    layer, x = _spatial(golden)
    torch.testing.assert_close(layer(x)[:, :1], layer(x[:, :1]), rtol=0, atol=1e-6)
    leaky, _ = _spatial(golden, shared_masks=True)
    assert not torch.allclose(leaky(x)[:, :1], leaky(x[:, :1]), atol=1e-3)
    torch.testing.assert_close(leaky(x[:, :1]), layer(x[:, :1]), rtol=0, atol=1e-6)


def test_a_map_is_important_when_exactly_one_mask_chooses_it(golden) -> None:
    layer, x = _spatial(golden)
    chosen = layer.important(x)
    assert chosen.unique().tolist() == [0.0, 1.0]
    # both masks choose half of all, so as many are chosen by the first alone as by the second alone
    assert (chosen.sum((0, 2)) % 2 == 0).all()


def test_temporal_attention_weighs_each_step_by_its_score() -> None:
    layer = TemporalAttention(6, reduction=2).double()
    x = torch.randn(6, 3, 2, 4, 4, dtype=torch.float64)
    pooled = x.mean((2, 3, 4)).T
    hidden = torch.relu(pooled @ layer.squeeze.weight.T + layer.squeeze.bias)
    scores = torch.sigmoid(hidden @ layer.excite.weight.T + layer.excite.bias).T
    torch.testing.assert_close(layer.scores(x), scores, rtol=0, atol=1e-12)
    torch.testing.assert_close(layer(x), x * scores[..., None, None, None], rtol=0, atol=1e-12)


def test_a_network_of_attention_and_its_neuron_learns_to_mute_a_step() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(TemporalAttention(4, reduction=1), AttentionLIF())
    x = torch.rand(4, 16, 10)
    x[2] *= 3
    optimiser = torch.optim.Adam(net.parameters(), lr=0.05)
    before = net(x)[2].mean().item()
    for _ in range(60):
        optimiser.zero_grad()
        net(x)[2].mean().backward()
        optimiser.step()
    assert net(x)[2].mean().item() < 0.5 * before


@pytest.mark.parametrize("layer", [TemporalAttention(4), SpatialAttention(4, 2)])
def test_neither_streams_and_both_refuse_other_lengths(layer) -> None:
    with pytest.raises(StateError, match=r"cannot stream: it (weighs its 4 steps|chooses among its 4 steps)"):
        run(layer, torch.randn(4, 1, 2, 3, 3))
    with pytest.raises(
        ShapeError, match=r"shape \(3, 1, 2, 3, 3\); it takes the 4 steps .* Encode that many"
    ):
        layer(torch.randn(3, 1, 2, 3, 3))


def test_a_wrong_argument_is_refused(unchecked) -> None:
    with pytest.raises(ConfigError, match=r"TemporalAttention got steps=0; it takes a number at least 1"):
        TemporalAttention(0)
    with pytest.raises(
        ConfigError, match=r"SpatialAttention got lam=1.5; it takes a number above 0 and at most 0.99"
    ):
        SpatialAttention(4, 2, lam=1.5)
    with pytest.raises(ShapeError, match=r"it takes \(4, B, 2, H, W\). Give it feature maps"):
        SpatialAttention(4, 2)(torch.randn(4, 1, 3, 3, 3))
