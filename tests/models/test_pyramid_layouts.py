"""Published layouts of pyramids without golden data: each name has one place in our models, and no place is empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import spikedrive as sd
from spikedrive.errors import CheckpointError
from spikedrive.models.metaformers import e_spikeformer, meta_spikeformer, qsd_transformer

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
SMALL = {"widths": (8, 8, 16, 16, 16), "heads": 2, "classes": 5}
CONV_BLOCKS = ("ConvBlock1_1.0", "ConvBlock1_2.0", "ConvBlock2_1.0", "ConvBlock2_2.0")
BLOCKS = (*(f"block3.{i}" for i in range(6)), "block4.0", "block4.1")
PROJECTIONS = ("q", "k", "v", "proj")
REP_CONV = ("0.body.0", "0.body.2.0", "0.body.2.1"), ("0.body.1.bn", "0.body.2.2", "1")


def layers() -> Iterator[tuple[str, bool]]:
    """Layers that all of them share, and whether each has a bias."""
    for stem in ("downsample1_1", "downsample1_2", "downsample2", "downsample3", "downsample4"):
        yield f"{stem}.encode_conv", True
    for block in CONV_BLOCKS:
        yield from ((f"{block}.conv{i}", False) for i in (1, 2))
    for block in BLOCKS:
        yield from ((f"{block}.mlp.fc{i}_conv", True) for i in (1, 2))
    yield "head", True


def norms() -> Iterator[str]:
    yield from (f"downsample{i}.encode_bn" for i in ("1_1", "1_2", "2", "3", "4"))
    yield from (f"{block}.bn{i}" for block in CONV_BLOCKS for i in (1, 2))
    yield from (f"{block}.mlp.fc{i}_bn" for block in BLOCKS for i in (1, 2))


def v3() -> set[str]:
    separable = [f"{b}.Conv" for b in CONV_BLOCKS] + [f"{b}.conv" for b in BLOCKS]
    pairs = [f"{s}.{layer}" for s in separable for layer in ("pwconv1", "dwconv", "pwconv2")]
    pairs += [f"{b}.attn.{p}_conv" for b in BLOCKS for p in PROJECTIONS]
    weights = [*layers(), *((f"{pair}.0", False) for pair in pairs)]
    return names(weights, [*norms(), *(f"{pair}.1" for pair in pairs)])


def qsd() -> set[str]:
    weights = [
        *layers(),
        *((f"{b}.Conv.{n}", False) for b in CONV_BLOCKS for n in ("pwconv1", "dwconv", "pwconv2")),
    ]
    projections = [f"{b}.attn.{p}_conv" for b in BLOCKS for p in PROJECTIONS]
    weights += [(f"{p}.{layer}", False) for p in projections for layer in REP_CONV[0]]
    of_norms = [*norms(), *(f"{b}.Conv.bn{i}" for b in CONV_BLOCKS for i in (1, 2))]
    of_norms += [f"{p}.{norm}" for p in projections for norm in REP_CONV[1]]
    more = ("alpha", "init_state", "act.alpha", "act.zero_point", "act.init_state", "act.signed")
    found = names(weights, of_norms) | {f"{layer}.{key}" for layer, _ in weights for key in more}
    return found | {f"{b}.layer_scale{i}" for b in BLOCKS for i in (1, 2)}


def names(weights: list[tuple[str, bool]], of_norms: list[str]) -> set[str]:
    found = {f"{layer}.weight" for layer, _ in weights} | {f"{layer}.bias" for layer, bias in weights if bias}
    return found | {f"{norm}.{key}" for norm in of_norms for key in NORM}


def test_v3_base_names_are_ours() -> None:
    with torch.device("meta"):
        model = sd.create_model("e_spikeformer_5m", **SMALL)
    ours = [e_spikeformer.rename(key) for key in v3()]
    assert sorted(ours) == sorted(model.state_dict())
    spikes = {f"{b}.Conv.spike{i}" for b in CONV_BLOCKS for i in (1, 2, 3)} | {
        "spike",
        "block4.1.attn.attn_spike",
    }
    assert {e_spikeformer.rename(key) for key in spikes} <= set(model.neurons())


def test_qsd_names_are_ours_with_steps_and_without_what_is_dead() -> None:
    lean, whole = (sd.create_model("qsd_transformer_15m", as_released=a, **SMALL) for a in (False, True))
    ours = qsd_transformer.remap({key: torch.zeros(1) for key in qsd()})
    assert len(ours) == len(qsd())
    buffers = {key for key in ours if key.endswith(("init_state", "signed"))}
    dead = {key for key in ours if ".act." in key} | buffers
    assert set(whole.state_dict()) == set(ours) - buffers
    assert set(lean.state_dict()) == set(ours) - dead


def test_qsd_checkpoints_load_and_name_what_does_not_fit() -> None:
    keys = sorted(qsd())
    state = sd.create_model("qsd_transformer_15m", as_released=True, **SMALL).state_dict()
    places = qsd_transformer.remap({key: torch.tensor(i) for i, key in enumerate(keys)})
    published = {
        keys[int(number)]: torch.rand(state[place].shape) + 0.1
        for place, number in places.items()
        if place in state
    }
    loaded = sd.from_reference("qsd_transformer_15m", {"model": published}, **SMALL)
    step = loaded.state_dict()["head.linear.parametrizations.weight.0.step"]
    assert torch.equal(step, published["head.alpha"])
    published["head.beta"] = published.pop("block3.0.layer_scale1")
    with pytest.raises(
        CheckpointError,
        match=r"missing: stages\.3\.blocks\.0\.attention\.proj\.gain; left over: head\.linear\.beta",
    ):
        sd.from_reference("qsd_transformer_15m", published, **SMALL)


def test_two_families_share_names_where_their_code_does() -> None:
    key = "block3.2.attn.q_conv.0.body.1.bn.bias"
    assert qsd_transformer.rename(key) == meta_spikeformer.rename(key)
