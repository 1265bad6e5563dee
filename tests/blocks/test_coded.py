"""What travels as counts of spikes: against the original, steps that are really taken, and real numbers."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from spikedrive.blocks.coded import SpikeCode, SpikingMatmul, SpikingSiLU, SpikingSoftmax, Synapsis
from spikedrive.errors import CheckpointError, ConfigError, ShapeError


@pytest.fixture
def original(golden):
    return torch.load(golden("braintransformers") / "ops.pt")


def test_a_synapsis_equals_the_original(original) -> None:
    linear = nn.Linear(12, 9)
    linear.load_state_dict({"weight": original["weight"], "bias": original["bias"]})
    torch.testing.assert_close(Synapsis(linear)(original["x"]), original["synapsis_out"], rtol=0, atol=1e-6)


def test_silu_equals_the_original(original) -> None:
    ours = SpikingSiLU.from_reference(original["silu_state_dict"])
    torch.testing.assert_close(ours(original["silu_x"]), original["silu_y"], rtol=0, atol=1e-6)
    assert sum(p.numel() for p in ours.parameters()) == 262


def test_a_state_dict_that_is_not_the_originals_is_refused(original) -> None:
    saved = dict(original["silu_state_dict"])
    del saved["neg_model.cutoff1"]
    with pytest.raises(
        CheckpointError, match=r"differs in neg_model.cutoff1; it takes the 26 entries .* Give those"
    ):
        SpikingSiLU.from_reference(saved)


def test_parameters_of_another_shape_are_refused(original) -> None:
    saved = dict(original["silu_state_dict"])
    saved["pos_model.neuron1.pos_pulse_params"] = torch.zeros(7)
    with pytest.raises(
        CheckpointError,
        match=r"neuron1.pos_pulse_params of shape \(7,\); the release has \(10,\) there. Give",
    ):
        SpikingSiLU.from_reference(saved)
    saved = dict(original["silu_state_dict"])
    saved["neg_model.cutoff2"] = torch.zeros(2)
    with pytest.raises(CheckpointError, match=r"cutoff2 of shape \(2,\); the release has \(\) there"):
        SpikingSiLU.from_reference(saved)


def test_what_is_no_number_stays_none() -> None:
    x = torch.tensor([float("nan"), 0.0, -1.0, -7.0, 3.0])
    for silu in (SpikingSiLU(), SpikingSiLU.stairs()):
        assert silu(x).isnan().tolist() == [True, False, False, False, False]
        assert torch.equal(silu(x)[1:], silu(x[1:]))
        assert silu.positive[0](x).isnan().tolist() == [True, False, False, False, False]


@given(st.integers(1, 20), st.sampled_from(["tensor", "token"]), st.integers(0, 99))
def test_a_count_is_what_the_neuron_sends(steps, per, seed) -> None:
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(seed)).double()
    code = SpikeCode(steps, per=per)
    counts, scale = code.counts(x)
    trains, same = code.trains(x)
    assert torch.equal(trains.sum(0), counts) and torch.equal(scale, same)
    assert set(trains.unique().tolist()) <= {-1.0, 0.0, 1.0} and float(counts.abs().max()) == steps
    assert float((code(x) - x).abs().max()) <= float(scale.max()) / 2 * (1 + 1e-12)


def test_halves_go_away_from_zero_and_nothing_stays_nothing() -> None:
    code = SpikeCode(5)
    assert code(torch.tensor([5.0, 2.5, -2.5, 0.4, -0.5])).tolist() == [5, 3, -3, 0, -1]
    assert SpikeCode(5, per="token")(torch.zeros(2, 3)).tolist() == [[0, 0, 0]] * 2


def test_one_scale_a_tensor_ties_a_token_to_its_neighbours() -> None:
    x = torch.randn(2, 6)
    loud = torch.stack([x[0], 100 * x[1]])
    assert torch.equal(SpikeCode(7, per="token")(loud)[0], SpikeCode(7, per="token")(x)[0])
    assert not torch.equal(SpikeCode(7)(loud)[0], SpikeCode(7)(x)[0])


@pytest.mark.parametrize("per", ["tensor", "token"])
def test_increments_add_up_to_the_product_of_the_codes(per) -> None:
    q, k = torch.randn(2, 3, 5, 4).double(), torch.randn(2, 3, 6, 4).double()
    product, code = SpikingMatmul(steps=9, per=per), SpikeCode(9, per=per)
    y = product(q, k)
    torch.testing.assert_close(y, code(q) @ code(k).mT)
    torch.testing.assert_close(product.each_step(q, k)[-1], y)
    x = torch.randn(3, 8).double()
    softmax = SpikingSoftmax(steps=9, per=per)
    torch.testing.assert_close(softmax.each_step(x)[-1], softmax(x))
    torch.testing.assert_close(softmax(x), code(x).softmax(-1))


@torch.no_grad()
def test_each_operator_comes_nearer_to_real_numbers_with_its_steps() -> None:
    torch.manual_seed(0)
    q, k, x = torch.randn(4, 32), torch.randn(6, 32), torch.linspace(-7.9, 7.9, 999)
    linear = nn.Linear(32, 16)

    def error(found: torch.Tensor, wanted: torch.Tensor) -> float:
        return float((found - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())

    steps = (3, 15, 63, 255)
    curves = [
        [error(Synapsis(linear, steps=n)(q), linear(q)) for n in steps],
        [error(SpikingMatmul(steps=n)(q, k), q @ k.mT) for n in steps],
        [error(SpikingSoftmax(steps=n)(q), q.softmax(-1)) for n in steps],
        [error(SpikingSiLU.stairs(detail=n)(x), nn.functional.silu(x)) for n in (1, 2, 4, 8)],
    ]
    for curve in curves:
        assert curve == sorted(curve, reverse=True)
        assert curve[-1] < curve[0] / 6
    assert curves[0][-1] < 0.01 and curves[-1][0] < 0.03


def test_gradients_pass_the_rounding() -> None:
    linear, x = nn.Linear(5, 3).double(), torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    Synapsis(linear)(x).sum().backward()
    assert x.grad is not None and linear.weight.grad is not None
    torch.testing.assert_close(x.grad, linear.weight.sum(0).expand(2, 5))


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: SpikeCode(0), ConfigError, "SpikeCode.*steps"),
        (
            lambda: SpikeCode(per=cast("Any", "row")),
            ConfigError,
            "got per='row'; it takes 'tensor' or 'token'",
        ),
        (lambda: SpikingSiLU(detail=0), ConfigError, "SpikingSiLU.*detail"),
        (lambda: SpikingSiLU.stairs(reach=0), ConfigError, "got reach=0; it takes a number above 0"),
        (
            lambda: SpikingMatmul()(torch.ones(2, 3), torch.ones(3, 2)),
            ShapeError,
            "Give k as it is, not transposed",
        ),
    ],
)
def test_bad_arguments_are_told(call, error, said) -> None:
    with pytest.raises(error, match=said):
        call()
