"""Shortcuts, mixers, embeddings, readouts, and the neuron as an argument."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

import spikedrive as sd
from spikedrive.blocks import (
    MLP,
    ClassifyHead,
    ConvBN,
    Downsample,
    Dropout,
    DropPath,
    MeanOverTime,
    MembraneBlock,
    MembraneShortcut,
    PatchStem,
    SEWShortcut,
    describe_neuron,
    integer_neuron,
    make_neuron,
)  # fmt: skip
from spikedrive.errors import ConfigError, UnknownNameError
from spikedrive.neurons import ILIF, LIF
from spikedrive.ops import surrogate
from spikedrive.state import run


def test_drop_path_drops_whole_samples_at_every_step() -> None:
    drop = DropPath(0.5)
    y = drop(torch.ones(4, 200, 3, 2, 2))
    assert torch.equal(y, y[:1, :, :1, :1, :1].expand_as(y))
    kept = y[0, :, 0, 0, 0]
    assert set(kept.tolist()) == {0.0, 2.0}
    assert 60 < int((kept > 0).sum()) < 140
    assert torch.equal(drop.eval()(torch.ones(4, 2, 3)), torch.ones(4, 2, 3))


def test_dropout_shares_its_mask_over_time() -> None:
    drop = Dropout(0.25)
    y = drop(torch.ones(3, 10, 50))
    assert torch.equal(y, y[:1].expand_as(y))
    assert not torch.equal(y[:, :1], y[:, 1:2])
    torch.testing.assert_close(y.unique(), torch.tensor([0.0, 4 / 3]))
    assert torch.equal(drop.eval()(torch.ones(3, 2, 3)), torch.ones(3, 2, 3))


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("kind", [DropPath, Dropout])
def test_rates_outside_0_to_1_are_refused(kind: type[nn.Module], rate: float) -> None:
    with pytest.raises(ConfigError, match=f"{kind.__name__} got rate="):
        kind(rate)
    assert not kind(1.0)(torch.ones(2, 3, 4)).any()


def test_shortcuts_join_as_their_equations_say() -> None:
    x, branch = torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
    assert torch.equal(MembraneShortcut()(x, branch), x + branch)
    assert SEWShortcut("add")(x, branch).tolist() == [0, 1, 1, 2]
    assert SEWShortcut("and")(x, branch).tolist() == [0, 0, 0, 1]
    assert SEWShortcut("iand")(x, branch).tolist() == [0, 0, 1, 0]
    with pytest.raises(UnknownNameError, match="no SEW connection named 'or'"):
        SEWShortcut("or")


def test_an_mlp_with_an_inner_shortcut_is_two_branches() -> None:
    mlp = MLP(4, 1, inner_shortcut=True).double().eval()
    for norm in mlp.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.constant_(norm.bias, 1.0)
    x = torch.randn(2, 3, 4, 5, 5).double() * 2
    fold = lambda chain, s: torch.stack([chain(step) for step in s])  # noqa: E731
    first = x + fold(mlp.expand, LIF()(x))
    second = first + fold(mlp.reduce, LIF()(first))
    torch.testing.assert_close(x + mlp(x), second, rtol=0, atol=1e-12)


def test_an_mlp_that_ends_with_its_neuron_takes_spikes() -> None:
    mlp = MLP(4, 2, neuron_last=True).eval()
    for norm in mlp.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.constant_(norm.bias, 1.5)
    s = (torch.rand(3, 2, 4, 5, 5) > 0.5).float()
    fold = lambda chain, s: torch.stack([chain(step) for step in s])  # noqa: E731
    expected = LIF()(fold(mlp.reduce, LIF()(fold(mlp.expand, s))))
    assert expected.any()
    assert torch.equal(mlp(s), expected)
    with pytest.raises(ConfigError, match="MLP got neuron_last=True and inner_shortcut=True"):
        MLP(4, 1, neuron_last=True, inner_shortcut=True)


def test_downsampling_rounds_up() -> None:
    x = torch.randn(2, 1, 3, 7, 8)
    assert Downsample(3, 6)(x).shape == (2, 1, 6, 4, 4)
    first = Downsample(3, 6, 7, neuron=None)
    assert first(x).shape == (2, 1, 6, 4, 4)
    assert not [m for m in first.modules() if isinstance(m, LIF)]


@pytest.mark.parametrize(("pooling", "side"), [("0000", 32), ("0011", 8), ("0111", 4), ("1111", 2)])
def test_the_stem_pools_where_told(pooling: str, side: int) -> None:
    assert PatchStem(3, 16, pooling=pooling)(torch.randn(1, 2, 3, 32, 32)).shape == (1, 2, 16, side, side)


def test_the_stem_pools_before_its_last_neuron() -> None:
    stem = PatchStem(1, 8, pooling="0001")
    sizes = []
    for neuron in stem.neurons:
        neuron.register_forward_hook(lambda _m, i, _y: sizes.append(i[0].shape[-1]))
    stem(torch.randn(1, 1, 1, 8, 8))
    assert sizes == [8, 8, 8, 4]


def test_a_readout_answers_at_any_time() -> None:
    readout = MeanOverTime()
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    y, state = run(readout, x[:1])
    torch.testing.assert_close(y, x[0])
    y, state = run(readout, x[1:4], state)
    torch.testing.assert_close(y, x[:4].mean(0))
    y, _ = run(readout, x[4:], state)
    torch.testing.assert_close(y, x.mean(0))
    assert torch.equal(readout(x), x.mean(0))


def test_a_head_pools_before_its_neuron() -> None:
    head = ClassifyHead(4, 3)
    seen = []
    head.neuron.register_forward_hook(lambda _m, i, _y: seen.append(i[0]))
    x = torch.randn(2, 5, 4, 3, 2)
    assert head(x).shape == (5, 3)
    torch.testing.assert_close(seen[0], x.flatten(3).mean(3))


def test_neurons_are_made_from_names_classes_and_factories() -> None:
    for neuron in ("LIF", LIF, {"name": "LIF"}, LIF().__class__, lambda: LIF()):
        assert type(make_neuron(neuron)) is LIF
    assert make_neuron(partial(ILIF, levels=7)).domain.high == 7
    assert make_neuron(LIF, threshold=0.5).threshold == 0.5
    one, other = make_neuron(LIF), make_neuron(LIF)
    assert one is not other


def test_a_relative_threshold_equals_a_scaled_input() -> None:
    x = torch.randn(3, 2, 20) * 4
    for neuron in (LIF, ILIF):
        assert torch.equal(make_neuron(neuron, threshold=0.5)(x), make_neuron(neuron)(x * 2))


@pytest.mark.parametrize(
    "neuron",
    [
        "LIF",
        {"name": "ILIF", "levels": 2},
        LIF,
        partial(ILIF, levels=3),
        partial(partial(ILIF, levels=3), scale=0.5),
    ],
)
def test_what_is_written_gives_the_same_neuron(neuron: object) -> None:
    again = make_neuron(describe_neuron(neuron))
    assert again.extra_repr() == make_neuron(neuron).extra_repr()
    assert type(again) is type(make_neuron(neuron))


@pytest.mark.parametrize(
    "neuron", [lambda: LIF(), partial(LIF, surrogate=surrogate.atan()), partial(ILIF, 3)]
)
def test_what_cannot_be_written_is_refused(neuron: object) -> None:
    with pytest.raises(ConfigError, match="cannot be written to a file"):
        describe_neuron(neuron)


def test_fuse_leaves_the_given_model_alone() -> None:
    model = sd.create_model("meta_spikeformer_nano", widths=(8, 8, 8))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    fused = sd.fuse(model.train())
    assert model.training
    assert not fused.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert isinstance(model.stages[0].downsample.project, ConvBN)
    assert isinstance(fused.stages[0].downsample.project, nn.Conv2d)
    assert fused.config == model.config


def test_a_block_adds_its_branches_one_after_another() -> None:
    class Double(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * x

    class Square(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * x

    x = torch.tensor([1.0, -2.0])
    assert MembraneBlock(twice=Double(), square=Square())(x).tolist() == [12.0, 30.0]
    assert MembraneBlock(square=Square(), twice=Double())(x).tolist() == [6.0, 6.0]


def test_output_scales_are_multiplied_or_left_out() -> None:
    neuron = {"name": "ILIF", "levels": 4, "scale": 0.25}
    assert make_neuron(neuron, gain=2.0).domain.scale == 0.5
    assert integer_neuron(neuron).domain.scale == 1.0
    assert isinstance(integer_neuron("LIF"), LIF)
    with pytest.raises(
        ConfigError, match="LIF got the gain 2 and has no output scale; this place takes an ILIF"
    ):
        make_neuron("LIF", gain=2.0)
