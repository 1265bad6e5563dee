"""The Masked Spiking Transformer: both forms of one file, its masks, its windows and its published layout."""

from __future__ import annotations

import pytest
import torch
from families import tiny
from torch import nn

import spikedrive as sd
from spikedrive.blocks import SpikeMask, WindowAttention
from spikedrive.errors import CheckpointError, ConfigError, ShapeError
from spikedrive.models.metaformers.masked_spiking_transformer import rename
from spikedrive.neurons import QCFS

NAME = "masked_spiking_transformer_tiny"
SMALL = {
    "width": 12, "depths": (2, 1), "heads": (3, 2), "window": 4, "patch": 2, "image_size": 16, "classes": 5,
}  # fmt: skip
SPIKING = {"neuron": {"name": "QCFS", "spiking": True}}


def test_one_file_serves_both_forms_whose_first_neurons_agree() -> None:
    trained = tiny("mst").double()
    spiking = sd.create_model(NAME, **SMALL, **SPIKING, steps=16).double().eval()
    spiking.load_state_dict(trained.state_dict())
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    first = []
    for model in (trained, spiking):
        model.stages[0].neuron.register_forward_hook(lambda _m, _i, y: first.append(y.mean(0)))
        model(x)
    assert first[0].any()
    torch.testing.assert_close(first[1], first[0], rtol=0, atol=1e-12)


def test_masks_drop_their_share_in_eval_mode_and_scale_nothing() -> None:
    x = torch.full((2, 3, 4000), 0.25)
    kept = SpikeMask(0.75).eval()(x)
    assert set(kept.unique().tolist()) == {0.0, 0.25}
    assert float((kept > 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert SpikeMask(0.0)(x) is x
    with pytest.raises(ConfigError, match=r"SpikeMask got rate=1\.5"):
        SpikeMask(1.5)
    masked = sd.create_model(NAME, **SMALL, mask_rate=0.5).eval()
    masked.load_state_dict(tiny("mst").state_dict())
    picture = torch.randn(1, 3, 16, 16)
    assert not torch.equal(masked(picture), masked(picture))


@pytest.mark.parametrize("shifted", [False, True])
def test_tokens_see_their_window_and_nothing_else(shifted: bool) -> None:
    layer = WindowAttention(4, 2, 4, shifted=shifted, neuron={"name": "QCFS", "levels": 4096}).double()
    nn.init.uniform_(layer.qkv.bias, 0.5, 1)
    nn.init.uniform_(layer.proj.bias, 0.5, 1)
    s = torch.rand(1, 1, 4, 8, 8, dtype=torch.float64)
    changed = s.clone()
    changed[..., 1, 1] += 1.0
    seen = (layer(s) != layer(changed)).any(2)[0, 0]
    expected = torch.zeros(8, 8, dtype=torch.bool)
    # half a window further, the corner's window holds what the first two rows and columns keep
    side = 2 if shifted else 4
    expected[:side, :side] = True
    assert (seen <= expected).all()
    assert seen.sum() > 1


def test_windows_that_do_not_divide_the_map_are_named() -> None:
    with pytest.raises(ShapeError, match="a map of 6 x 6; it takes multiples of its window 4"):
        sd.create_model(NAME, **SMALL)(torch.zeros(1, 3, 12, 12))
    with pytest.raises(ConfigError, match="2 depths and 1 numbers of heads"):
        sd.create_model(NAME, **{**SMALL, "heads": (3,)})


def test_every_name_of_the_original_is_known() -> None:
    model = sd.create_model(NAME, **SMALL)
    block = [
        "shortcut1_if",
        *(f"attn.{n}_if" for n in ("q", "k", "v", "attn", "attn_v", "proj")),
        "shortcut2_if",
    ]
    block += ["mlp.fc1_if", "mlp.fc2_if"]
    published = ["patch_embed.proj_if", "layers.0.downsample.reduction_if"]
    published += [f"layers.{i}.blocks.{j}.{n}" for i, j in ((0, 0), (0, 1), (1, 0)) for n in block]
    assert {rename(key) for key in published} == set(model.neurons())


def test_the_published_layout_loads_without_its_buffers() -> None:
    model = tiny("mst")
    theirs = {_published(key): value for key, value in model.state_dict().items()}
    theirs = {k: v[..., 0, 0] if v.dim() == 4 and "patch_embed" not in k else v for k, v in theirs.items()}
    assert "layers.0.blocks.1.mlp.fc1_if.up" in theirs
    theirs["layers.0.blocks.1.attn_mask"] = torch.zeros(4, 16, 16)
    theirs["layers.0.blocks.1.attn.relative_position_index"] = torch.zeros(16, 16)
    loaded = sd.from_reference(NAME, {"model": theirs}, **SMALL).eval()
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(loaded(x), model(x))
    del theirs["norm.weight"]
    with pytest.raises(CheckpointError, match=r"missing: head\.norm\.weight"):
        sd.from_reference(NAME, theirs, **SMALL)


def test_the_published_count_is_without_ceilings() -> None:
    with torch.device("meta"):
        model = sd.create_model(NAME)
    ceilings = [m for m in model.modules() if isinstance(m, QCFS)]
    assert sum(p.numel() for p in model.parameters()) - len(ceilings) == 28_332_514


_BACK = (
    ("stages.0.patches.project.conv", "patch_embed.proj"), ("stages.0.patches.project.bn", "patch_embed.norm"),
    ("stages.0.neuron", "patch_embed.proj_if"), ("stages.1.patches.reduce.0.bn", "layers.0.downsample.norm"),
    ("stages.1.patches.reduce.1", "layers.0.downsample.reduction"),
    ("stages.1.neuron", "layers.0.downsample.reduction_if"), ("stages.", "layers."),
    ("attention_norm.0.bn", "norm1"), ("mlp_norm.0.bn", "norm2"), ("attention_neuron", "shortcut1_if"),
    ("mlp_neuron", "shortcut2_if"), ("attention.score_neuron", "attn.attn_if"),
    ("attention.out_neuron", "attn.attn_v_if"), ("attention.end_neuron", "attn.proj_if"),
    ("attention.q_neuron", "attn.q_if"), ("attention.k_neuron", "attn.k_if"), ("attention.v_neuron", "attn.v_if"),
    ("attention.position_bias", "attn.relative_position_bias_table"), ("attention.", "attn."),
    ("mlp.mid_neuron", "mlp.fc1_if"), ("mlp.end_neuron", "mlp.fc2_if"), ("mlp.expand.conv", "mlp.fc1"),
    ("mlp.reduce.conv", "mlp.fc2"), ("mlp.expand.bn", "mlp.norm1"), ("mlp.reduce.bn", "mlp.norm2"),
    ("head.norm", "norm"), ("head.linear", "head"), (".ceiling", ".up"),
)  # fmt: skip


def _published(key: str) -> str:
    for ours, theirs in _BACK:
        key = key.replace(ours, theirs)
    return key
