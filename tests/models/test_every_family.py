"""What each published family of the vision zoo gives: its names and counts, every size of picture, both forms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import FAMILIES, inputs, liven, pictures, small_arguments, tiny
from torch import Tensor

import spikedrive as sd
from spikedrive.blocks import SpikingModel
from spikedrive.errors import ShapeError
from spikedrive.models import get_card
from spikedrive.neurons import LIF

# trainable parameters as released, dead ones included
RELEASED = {
    "e_spikeformer_2_7m": 2_702_048, "e_spikeformer_5m": 5_105_608, "e_spikeformer_10m": 10_023_112,
    "e_spikeformer_19m": 18_987_504, "e_spikeformer_83m": 82_502_952, "e_spikeformer_171m": 170_971_714,
    "spikformer_8_384": 16_828_312, "spikformer_8_512": 29_705_768, "spikformer_8_768": 66_363_208,
    "qsd_transformer_15m": 15_245_862, "qsd_transformer_31m": 31_527_302, "qsd_transformer_55m": 55_607_830,
    "masked_spiking_transformer_tiny": 28_332_514, "spiking_mlp_spe_t": 25_229_180,
    "spiking_mlp_s": 34_507_408, "spiking_mlp_spe_s": 37_975_568, "spike_driven_transformer_8_384": 16_816_536,
    "spike_driven_transformer_8_768": 66_339_144, "meta_spikeformer_15m": 15_112_208,
    "meta_spikeformer_31m": 31_333_864, "meta_spikeformer_55m": 55_350_248, "asa_csnn": 2_329_162,
}  # fmt: skip
# counted from the published layer tables alone, as closed forms in the tests of their families
DERIVED = [
    *(f"spikformer_v2_{size}" for size in ("8_384", "8_512", "16_768")),
    *(f"sew_resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    *(f"ms_resnet{depth}" for depth in (18, 34, 104)),
    *(f"spiking_vgg{depth}" for depth in (11, 16)),
]
# the smallest of each family
MEMBERS = [
    "v1", "v1_frames", "nano", "v3_nano", "v3_large", "spikformer", "spikformer_v2", "qsd_nano", "mst", "mlp_nano",
    "sew_integer", "ms_spiking", "vgg_integer", "asa", "ta", "csnn",
]  # fmt: skip
members = pytest.mark.parametrize("family", MEMBERS)


@pytest.mark.parametrize(("name", "count"), RELEASED.items())
def test_the_card_holds_the_count_as_released(name: str, count: int) -> None:
    # that the model has it is a contract of every card
    card = get_card(name)
    assert (card.params_released, card.params_derived) == (count, False)


def test_counts_that_nobody_released_are_marked() -> None:
    assert [name for name in DERIVED if not get_card(name).params_derived] == []
    assert [name for name in DERIVED if get_card(name).params_released is not None] == []
    # inferred from the paper's 66M
    assert get_card("spiking_mlp_spe_b").params == 65_607_184


@members
@pytest.mark.parametrize("size", [(16, 32), (48, 32)])
def test_pictures_of_any_size_give_logits_and_a_pyramid_of_their_shape(
    family: str, size: tuple[int, int]
) -> None:
    usual, side = tiny(family), small_arguments(FAMILIES[family][0])[1]
    x = pictures(usual, max(size), batch=2)[..., : size[0], : size[1]]
    model = usual
    if family == "mlp_nano":
        # its layers along rows and columns have the length of the picture that it was built for
        with pytest.raises(ShapeError, match=r"it takes \(16, 16\).*image_size="):
            model(x)
        model = built(family, x, image_size=size, steps=2)
    features = model.forward_features(x)
    for one, other in zip(features, usual.forward_features(inputs(family, usual)), strict=True):
        sides = (round(n * o / side) for n, o in zip(size, other.shape[3:], strict=True))
        assert one.shape == (*other.shape[:3], *sides)
        assert not torch.equal(one[:, 0], one[:, 1])
    for level in {0, len(features) - 1}:
        assert torch.equal(model.forward_features(x, levels=[level])[0], features[level])
    y = model(x)
    assert y.shape == (2, 5)
    assert y.isfinite().all()


@pytest.mark.parametrize(
    "name", ["spike_driven_transformer_8_384", "spikformer_8_384", "spikformer_v2_8_384"]
)
def test_a_transformer_with_a_stem_has_a_pyramid_of_four_strides(name: str) -> None:
    model = sd.create_model(name, width=16, depth=1, heads=2, steps=1)
    features = model.forward_features(torch.randn(1, 3, 32, 64), levels=[3, 0, 2])
    assert [tuple(f.shape[2:]) for f in features] == [(2, 16, 32), (8, 4, 8), (16, 2, 4)]
    assert set(features[0].unique().tolist()) <= {0.0, 1.0, 2.0}


@members
def test_steps_and_neuron_are_arguments(family: str) -> None:
    # the neuron behind QSD's attention emits twice an integer, which a spike cannot
    more = {"attention_gain": 1.0} if family == "qsd_nano" else {}
    model = built(family, neuron={"name": "LIF", "decay": 0.75}, steps=3, **more)
    assert {(type(n), n.decay) for n in model.neurons().values()} == {(LIF, 0.75)}
    features = model.forward_features(inputs(family, model))
    assert all(len(f) == 3 for f in features)
    # what a leaky neuron keeps makes steps differ, though the picture is the same
    assert not torch.equal(features[-1][0], features[-1][-1])


# unrolling takes seconds: `make test-all` tries those that are made of the same parts as another, too
SMALLER = {"mst": {"depths": (1, 1)}, "mlp_nano": {"depths": (1, 1)}}
AGAIN = ["v1_frames", "v2_integer", "v3", "v3_large_spiking", "qsd"]
UNROLLED = [
    *(family for family in MEMBERS if family not in AGAIN),
    *(pytest.param(family, marks=pytest.mark.slow) for family in AGAIN),
]


@pytest.mark.parametrize("family", UNROLLED)
def test_integers_and_binary_steps_give_equal_answers(family: str) -> None:
    integer = {n.domain.levels for n in tiny(family).neurons().values()} == {4}
    neuron = {} if integer else {"neuron": {"name": "ILIF", "levels": 4}}
    model = sd.fuse(built(family, **neuron, **SMALLER.get(family, {})), dense_separable=True)
    x = inputs(family, model, batch=2)
    example = x[:1] if model.input == "image" else x[:, :1]
    report = sd.verify_unrolled(model, x, unrolled=sd.unroll(model, example))
    assert report.equal
    assert {row.neuron for row in report.exact.neurons} == set(model.neurons())
    assert {row.substeps for row in report.exact.neurons} == {4}
    assert report.exact.compared > 1000


def built(family: str, x: Tensor | None = None, **config: Any) -> SpikingModel:
    """A small member with other arguments, lively on x or on pictures as usual, in one step unless told."""
    name, own = FAMILIES[family]
    small, size = small_arguments(name)
    torch.manual_seed(0)
    model = sd.create_model(name, **{"steps": 1, "classes": 5, **small, **own, **config})
    return liven(model, pictures(model, size, batch=4) if x is None else x).eval()
