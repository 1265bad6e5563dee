"""The spiking MLP's published layouts, written out by hand: its blocks are numbered through all stages."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import spikedrive as sd
from spikedrive.errors import CheckpointError, ConfigError, ShapeError
from spikedrive.models.metaformers.spiking_mlp import rename

DEPTHS = (1, 2)
CONFIG = {"width": 6, "depths": DEPTHS, "image_size": 8, "patch": 2, "classes": 5, "steps": 2}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("name", ["spiking_mlp_spe_t", "spiking_mlp_s"])
def test_every_weight_finds_its_place(name: str, wrapped: bool) -> None:
    checkpoint = _checkpoint(encoding=name == "spiking_mlp_spe_t", wrapped=wrapped)
    # each tensor is filled with its own number, so that none can stand in another's place
    for number, value in enumerate(checkpoint.values()):
        value.fill_(number)
    model = sd.from_reference(name, {"model": checkpoint}, **CONFIG)
    own = model.state_dict()
    assert sorted(float(v.flatten()[0]) for v in own.values()) == list(range(len(checkpoint)))
    where = list(checkpoint)
    bn = ".0" if wrapped else ""
    for theirs, ours in (
        (f"token_mix.2.proj_w.2{bn}.bias", "stages.1.blocks.1.tokens.along_width.bn.bias"),
        ("channel_mix.1.1.net.3.weight", "stages.1.blocks.0.channels.reduce.conv.weight"),
        (f"batch_norm{bn}.weight", "head.linear.bn.weight"),
    ):
        assert (own[ours] == where.index(theirs)).all()


def test_neurons_have_the_names_of_the_original() -> None:
    published = [
        "to_patch_embedding_lif.0", "to_patch_embedding_lif.1", "to_patch_embedding.1.lif.0",
        "to_patch_embedding.1.lif.1",
    ]  # fmt: skip
    for k in range(3):
        published += [f"token_mix.{k}.proj_{axis}.3" for axis in "hw"]
        published += [f"token_mix_lif.{k}", f"channel_mix.{k}.1.net.2", f"channel_mix_lif.{k}"]
    model = sd.create_model("spiking_mlp_spe_t", **CONFIG)
    assert {rename(key, DEPTHS) for key in published} == set(model.neurons())


def test_what_does_not_fit_is_named() -> None:
    checkpoint = _checkpoint(encoding=True, wrapped=False)
    del checkpoint["mlp_head.1.bias"]
    checkpoint["extra"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r"missing: head\.linear\.linear\.bias; left over: extra"):
        sd.from_reference("spiking_mlp_spe_t", checkpoint, **CONFIG)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"image_size": 9}, r"image_size=\(9, 9\) with patch=2 and 2 stages; it takes multiples of 2"),
        ({"image_size": 6, "patch_encoding": False}, "it takes multiples of 4"),
        ({"width": 8}, "16 channels to split in three.*Use 15"),
    ],
)
def test_sizes_that_do_not_divide_are_named(config: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sd.create_model("spiking_mlp_spe_t", **{**CONFIG, **config})


def test_pictures_need_not_be_square_but_of_one_size() -> None:
    model = sd.create_model("spiking_mlp_spe_t", **{**CONFIG, "image_size": (8, 12)})
    assert [f.shape[-2:] for f in model.forward_features(torch.randn(2, 3, 8, 12))] == [(4, 6), (2, 3)]
    with pytest.raises(
        ShapeError, match=r"pictures of \(8, 8\) pixels; it takes \(8, 12\).*image_size=\(8, 8\)"
    ):
        model(torch.randn(2, 3, 8, 8))


def _checkpoint(*, encoding: bool, wrapped: bool) -> dict[str, Tensor]:
    """A small checkpoint in the original's names; `wrapped` as its training left BatchNorms."""
    tensors: dict[str, Tensor] = {}

    def layer(name: str, *shape: int, bias: bool = False) -> None:
        tensors[f"{name}.weight"] = torch.zeros(shape)
        if bias:
            tensors[f"{name}.bias"] = torch.zeros(shape[0])

    def norm(name: str, width: int) -> None:
        name += ".0" if wrapped else ""
        for key in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{name}.{key}"] = torch.zeros(width)
        tensors[f"{name}.num_batches_tracked"] = torch.tensor(0)

    layer("to_patch_embedding.0.0", 6, 3, 2, 2)
    norm("to_patch_embedding.0.1", 6)
    if encoding:
        for i in range(3):
            layer(f"to_patch_embedding.1.cell2node.{i}.0", 4, 6, 3, 3)
            norm(f"to_patch_embedding.1.cell2node.{i}.1", 4)
        for name in ("node1_node2", "node2_node3"):
            layer(f"to_patch_embedding.1.{name}.0", 4, 4, 3, 3)
            norm(f"to_patch_embedding.1.{name}.1", 4)
    else:
        layer("to_patch_embedding.1.0", 12, 6, 2, 2)
        norm("to_patch_embedding.1.1", 12)
    for k, (width, side) in enumerate([(6, 4), (12, 2), (12, 2)]):
        if not encoding:
            norm(f"token_mix.{k}.BN", width)
        for axis in "wh":
            layer(f"token_mix.{k}.proj_{axis}.1", side, side, 1, 1, bias=True)
            norm(f"token_mix.{k}.proj_{axis}.2", side)
        layer(f"token_mix.{k}.fuse.0", width, 3 * width, 1, 1)
        norm(f"token_mix.{k}.fuse.1", width)
        layer(f"channel_mix.{k}.1.net.0", 3 * width, width, bias=True)
        norm(f"channel_mix.{k}.1.net.1", side * side)
        layer(f"channel_mix.{k}.1.net.3", width, 3 * width, bias=True)
        norm(f"channel_mix.{k}.1.net.4", side * side)
    norm("batch_norm", 12)
    layer("mlp_head.1", 5, 12, bias=True)
    return tensors
