"""Heat conduction as a mixer: its equation, what the audit counts of it, and the ways in which two cameras meet."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import spikedrive as sd
from spikedrive.blocks.mixers import (
    TOKEN_MIXERS,
    FrequencyTables,
    HeatConduction,
    HeatMixer,
    MapNorm,
    RoutedFusion,
)
from spikedrive.errors import ConfigError, ShapeError, UnknownNameError
from spikedrive.neurons import LIF
from spikedrive.ops.heat import conduct, cosines, products

C, H, W = 6, 4, 5


def maps(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def warm(cameras: int = 1, **arguments) -> HeatMixer:
    torch.manual_seed(0)
    return HeatMixer(C, cameras=cameras, policy=(8, 4), **arguments).double().eval()


def test_the_mixer_heat_is_registered() -> None:
    assert "heat" in TOKEN_MIXERS and TOKEN_MIXERS["heat"] is HeatConduction
    with pytest.raises(UnknownNameError, match=r"no token mixer named 'heet'.*The nearest: heat"):
        HeatMixer(C, mixer="heet")


def test_diffusivity_is_never_negative_and_spreads_each_channel_alone() -> None:
    layer = HeatConduction(C).double()
    table, x = maps(H, W, C), maps(2, C, H, W)
    k = layer.diffusivity(table)
    assert k.shape == (C, H, W) and (k >= 0).all() and (k == 0).any() and (k > 0).any()
    torch.testing.assert_close(layer(x, table), conduct(x, k))
    nn.init.zeros_(layer.to_k.weight)
    nn.init.constant_(layer.to_k.bias, 0.5)
    torch.testing.assert_close(layer(x, table), conduct(x, 0.5), rtol=0, atol=1e-12)


def test_a_table_of_another_map_is_named() -> None:
    with pytest.raises(ShapeError, match=r"table of \(5, 4, 6\); the table holds .*image_size"):
        HeatConduction(C)(torch.zeros(2, C, H, W), torch.zeros(W, H, C))


def test_tables_halve_from_stage_to_stage() -> None:
    tables = FrequencyTables((7, 8), (4, 6, 8))()
    assert [tuple(table.shape) for table in tables] == [(7, 8, 4), (4, 4, 6), (2, 2, 8)]
    with pytest.raises(ConfigError, match="map of 0 x 3"):
        FrequencyTables((0, 3), (4,))


def test_one_camera_is_the_equation() -> None:
    mixer, table, x = warm(), maps(H, W, C), maps(3, 2, C, H, W)
    u, z = mixer.project(mixer.near(x.flatten(0, 1))).chunk(2, 1)
    u = conduct(u, mixer.mixer.diffusivity(table))
    u = nn.functional.layer_norm(u.movedim(1, -1), (C,), mixer.norm.weight, mixer.norm.bias).movedim(-1, 1)
    expected = mixer.out(u * z * z.sigmoid()).unflatten(0, (3, 2))
    torch.testing.assert_close(mixer(x, [table]), expected, rtol=0, atol=1e-12)


def test_a_neuron_lets_through_what_it_fires_for() -> None:
    mixer, table, x = warm(neuron="LIF"), maps(H, W, C), 4 * maps(3, 2, C, H, W)
    seen: list[Tensor] = []
    mixer.out.register_forward_pre_hook(lambda _m, given: seen.append(given[0]))
    mixer(x, [table])
    assert isinstance(mixer.gate, LIF)
    assert 0.3 < (seen[0] == 0).double().mean() < 1


def test_each_camera_has_its_own_table() -> None:
    mixer, tables, x = warm(2), [maps(H, W, C), maps(H, W, C) + 1], maps(3, 4, C, H, W)
    mixer.fusion = None
    one, other = mixer(x, tables).chunk(2, 1)
    single = warm()
    single.load_state_dict(mixer.state_dict())
    torch.testing.assert_close(one, single(x[:, :2], tables[:1]), rtol=0, atol=1e-12)
    torch.testing.assert_close(other, single(x[:, 2:], tables[1:]), rtol=0, atol=1e-12)
    assert not torch.allclose(other, single(x[:, 2:], tables[:1]))


def fusion(route: str = "hard") -> RoutedFusion:
    torch.manual_seed(0)
    return RoutedFusion(C, route=route, policy=(8, 4)).double().eval()


@pytest.mark.parametrize("way", [0, 1, 2])
def test_a_frame_takes_the_way_that_the_policy_says(way: int) -> None:
    meet, a, b = fusion(), maps(2, 3, C, H, W), maps(2, 3, C, H, W) + 1
    nn.init.zeros_(meet.policy[-1].weight)
    with torch.no_grad():
        meet.policy[-1].bias.copy_(torch.eye(3)[way])
    gate = meet.weigh(torch.cat([a, b], 2).flatten(0, 1)).sigmoid().unflatten(0, (2, 3))
    ways = [(a, b), (a - a * b, b - a * b), (a * gate[:, :, :C], b * gate[:, :, C:])]
    for found, expected in zip(meet(a, b), ways[way], strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_soft_route_mixes_all_three_and_teaches_the_policy() -> None:
    meet, a, b = fusion("soft"), maps(2, 3, C, H, W), maps(2, 3, C, H, W) + 1
    nn.init.zeros_(meet.policy[-1].weight)
    y, _ = meet(a, b)
    gate = meet.weigh(torch.cat([a, b], 2).flatten(0, 1)).sigmoid().unflatten(0, (2, 3))[:, :, :C]
    with torch.no_grad():
        shares = meet.policy[-1].bias.softmax(0)
    expected = shares[0] * a + shares[1] * (a - a * b) + shares[2] * a * gate
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    y.square().sum().backward()
    assert meet.policy[-1].bias.grad is not None and meet.policy[-1].bias.grad.any()
    assert meet.weigh.conv.weight.grad is not None and meet.weigh.conv.weight.grad.any()


def test_a_hard_route_is_drawn_while_training_and_settled_afterwards() -> None:
    meet, a, b = fusion(), maps(4, 8, C, H, W), maps(4, 8, C, H, W) + 1
    assert torch.equal(meet(a, b)[0], meet(a, b)[0])
    meet.train()
    y, _ = meet(a, b)
    assert not torch.equal(y, meet(a, b)[0])
    y.square().sum().backward()
    assert meet.policy[0].weight.grad is not None and meet.policy[0].weight.grad.any()


def test_both_cameras_share_the_statistics_of_the_policy() -> None:
    meet, a, b = fusion("soft").train(), maps(4, 8, C, H, W), maps(4, 8, C, H, W) + 3
    for norm in (m for m in meet.policy if isinstance(m, nn.BatchNorm1d)):
        norm.momentum = 1.0
    meet(a, b)
    means = torch.cat([a, b], 1).mean((3, 4)).flatten(0, 1)
    hidden = nn.functional.leaky_relu(meet.policy[0](means), 0.1)
    torch.testing.assert_close(meet.policy[2].running_mean, hidden.mean(0))


def test_another_route_is_named() -> None:
    with pytest.raises(UnknownNameError, match="no route named 'harder'"):
        RoutedFusion(C, route="harder")  # type: ignore[arg-type]


class Plate(nn.Module):
    """Heat on what a neuron fired, and a readout."""

    def __init__(self, spikes: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, C, 1)
        self.neuron = LIF() if spikes else nn.Identity()
        self.conduct = HeatConduction(C)
        self.table = nn.Parameter(torch.randn(H, W, C))

    def forward(self, x: Tensor) -> Tensor:
        s = self.neuron(self.first(x)[None])[0]
        return self.conduct(s, self.table).sum((2, 3))


@pytest.mark.parametrize("spikes", [False, True])
def test_the_audit_counts_the_products_and_never_calls_them_additive(spikes: bool) -> None:
    torch.manual_seed(0)
    audit = sd.audit(Plate(spikes).eval(), 4 * torch.randn(2, 1, H, W))
    assert audit.verdict == "hybrid"
    remaining = sum(each.count for each in audit.exceptions if each.module == "conduct")
    # what spikes meet first is no multiplication: a row of the matrix is added, or not
    expected = products(C, H, W) - (C * H * W * W if spikes else 0)
    assert remaining == expected


def test_the_matrices_do_not_depend_on_what_the_example_was() -> None:
    x = maps(1, H, W)
    torch.testing.assert_close(cosines(H, x).T @ cosines(H, x), torch.eye(H, dtype=torch.float64))


def test_a_map_norm_looks_at_one_place() -> None:
    x = maps(2, 3, C, H, W)
    y = MapNorm(C).double()(x)
    torch.testing.assert_close(y.mean(2), torch.zeros(2, 3, H, W, dtype=torch.float64), rtol=0, atol=1e-9)
