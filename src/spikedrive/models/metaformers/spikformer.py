"""Spikformer: a vision transformer whose queries, keys and values are spikes, without softmax.

*Source*: "Spikformer: When Spiking Neural Network Meets Transformer", arXiv 2209.15425 (ICLR 2023); code
ZK-Zhou/spikformer, commit 62126898, MIT (written here from its description; `remap` reads the layouts of its ImageNet
and CIFAR checkpoints).

*Where we differ*: sequences come as (T, B, C, H, W); drop-path is applied where asked (the original builds it and never
applies it); 1 x 1 Conv1d and Linear layers are held as Conv2d; T is an argument (the original's ImageNet file holds
T = 4); the two LayerNorms of each block, which the original builds and never applies, are left out unless
`as_released=True`.

*Expected*: nothing was trained here.

Shortcuts add spikes, so that what a layer meets are integers, one more at most after every branch: the model is
additive in integers, not in spikes. `spikformer_{depth}_{width}` are the ImageNet models, `..._cifar_...` take 32 x 32
pictures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from spikedrive.blocks import (
    MLP,
    ClassifyHead,
    ConvBN,
    InputKind,
    NeuronLike,
    PatchStem,
    SEWShortcut,
    SpikeAttention,
    SpikingModel,
    select_levels,
)
from spikedrive.models._registry import register_model
from spikedrive.neurons.neuron import check_count


class SpikformerBlock(nn.Module):
    """Spiking self-attention and a two-layer 1 x 1 mixer, each with a shortcut that adds spikes.

    *Shapes*: x (T, B, C, H, W) -> the same: integers, two larger at most.
    *Multiplies*: none.
    """

    def __init__(
        self, width: int, *, heads: int, ratio: float, qkv_bias: bool, scale: float, as_released: bool,
        drop_path: float, neuron: NeuronLike,
    ) -> None:  # fmt: skip
        super().__init__()
        if as_released:
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SpikeAttention(
            width, heads, variant="sdsa3", projection=partial(ConvBN, bias=qkv_bias),
            output=partial(ConvBN, bias=True), neuron=neuron, scale=scale, neuron_last=True,
        )  # fmt: skip
        self.mlp = MLP(width, ratio, neuron_last=True, neuron=neuron)
        self.attention_shortcut = SEWShortcut(drop_path=drop_path)
        self.mlp_shortcut = SEWShortcut(drop_path=drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """The sums of spikes after both branches."""
        x = self.attention_shortcut(x, self.attention(x))
        return self.mlp_shortcut(x, self.mlp(x))


class Spikformer(SpikingModel):
    """Patch stem, equal blocks, mean over positions, one linear head.

    `pooling` says which of the stem's four stages halve the resolution; `qkv_bias` is the layout of the original's
    CIFAR model; `attention_scale` (a power of two) stands in front of the attention's neuron.

    *Shapes*: x (B, C, H, W), or (T, B, C, H, W) for `input="frames"` -> (B, K). `forward_features` has four levels:
    the spikes of the stem's first three stages, and the sums of spikes after the last block.
    *Multiplies*: the first convolution only: it meets pixels. Every other layer meets integers 0..2 (depth + 1) of
    binary neurons; the head meets their mean, whose divisor folds into its weight.
    *Raises*: ConfigError for arguments out of range.
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int = 8,
        mlp_ratio: float = 4,
        pooling: str = "1111",
        qkv_bias: bool = False,
        attention_scale: float = 0.125,
        neuron: NeuronLike = "LIF",
        steps: int = 4,
        classes: int = 1000,
        in_channels: int = 3,
        input: InputKind = "image",
        drop_path: float = 0.0,
        as_released: bool = False,
    ) -> None:
        super().__init__(input=input, in_channels=in_channels, classes=classes, steps=steps)
        check_count("Spikformer", "depth", depth)
        self.stem = PatchStem(in_channels, width, pooling=pooling, neuron_last=True, neuron=neuron)
        block = partial(
            SpikformerBlock, width, heads=heads, ratio=mlp_ratio, qkv_bias=qkv_bias, scale=attention_scale,
            as_released=as_released, neuron=neuron,
        )  # fmt: skip
        self.blocks = nn.Sequential(
            *(block(drop_path=drop_path * i / max(1, depth - 1)) for i in range(depth))
        )
        self.head = ClassifyHead(width, classes, neuron=None)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Any:
        """Logits (B, K)."""
        return self.head(self.blocks(self.stem(self.encode(x))))

    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """The spikes of three stages of the stem, then the sums of spikes after the last block, (T, B, C, H, W)."""
        chosen = select_levels(levels, 4)
        *finer, x = self.stem.every_stage(self.encode(x))
        every = [*finer, self.blocks(x) if 3 in chosen else x]
        return [every[level] for level in chosen]


_NAMES = (
    (r"patch_embed\.proj_(conv|bn)(\d?)", lambda m: f"stem.convs.{m[2] or 0}.{m[1]}"),
    (r"patch_embed\.proj_lif(\d?)", lambda m: f"stem.neurons.{m[1] or 0}"),
    (r"patch_embed\.rpe_(conv|bn)", r"stem.position.\1"), (r"patch_embed\.rpe_lif", "stem.end_neuron"),
    (r"^block\.", "blocks."),
    (r"attn\.([qkv]|proj)_(?:conv|linear)", r"attention.\1.conv"), (r"attn\.([qkv]|proj)_bn", r"attention.\1.bn"),
    (r"attn\.([qkv])_lif", r"attention.\1_neuron"), (r"attn\.attn_lif", "attention.out_neuron"),
    (r"attn\.proj_lif", "attention.end_neuron"),
    (r"mlp\.fc1_(?:conv|linear)", "mlp.expand.conv"), (r"mlp\.fc2_(?:conv|linear)", "mlp.reduce.conv"),
    (r"mlp\.fc1_bn", "mlp.expand.bn"), (r"mlp\.fc2_bn", "mlp.reduce.bn"),
    (r"mlp\.fc1_lif", "mlp.mid_neuron"), (r"mlp\.fc2_lif", "mlp.end_neuron"),
    (r"^head\.(weight|bias)", r"head.linear.\1"),
)  # fmt: skip


def rename(key: str) -> str:
    """Our name for a parameter or a neuron of the published code, its ImageNet or its CIFAR model.

    >>> rename("block.0.attn.proj_linear.bias"), rename("block.3.mlp.fc2_lif")
    ('blocks.0.attention.proj.conv.bias', 'blocks.3.mlp.end_neuron')
    """
    for pattern, ours in _NAMES:
        key = re.sub(pattern, ours, key)
    return key


def remap(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published layout in our names; weights of Conv1d and Linear get their spatial axes."""
    renamed = {rename(key): value for key, value in state_dict.items()}
    return {key: _spread(value) if key.endswith(".conv.weight") else value for key, value in renamed.items()}


def _spread(weight: Tensor) -> Tensor:
    return weight.reshape(*weight.shape, *[1] * (4 - weight.dim()))


_register = partial(
    register_model, Spikformer, paper="2209.15425", remap=remap, dead=("norm1.", "norm2."),
    verdict_released="additive", verdict_repaired="additive", licence="MIT",
)  # fmt: skip
_imagenet = partial(_register, input_size=(3, 224, 224), recipe="imagenet_spikformer")
_TABLE = "ImageNet table of arXiv 2209.15425, T = 4, as its readers quote it"
_ONE_CIFAR = "the CIFAR figures at hand are those of 4-384"


def _published(top1: float, millijoules: float) -> dict[str, float | str]:
    return {"imagenet1k_top1": top1, "energy_mj": millijoules, "source": _TABLE}


@_imagenet(params=16_816_024, params_released=16_828_312, published=_published(70.24, 7.73))
def spikformer_8_384() -> dict[str, Any]:
    """8 blocks of width 384."""
    return {"width": 384, "depth": 8}


@_imagenet(params=23_373_352, params_released=23_385_640, published=_published(72.46, 9.42))
def spikformer_6_512() -> dict[str, Any]:
    """6 blocks of width 512."""
    return {"width": 512, "depth": 6}


@_imagenet(params=29_689_384, params_released=29_705_768, published=_published(73.38, 11.58))
def spikformer_8_512() -> dict[str, Any]:
    """8 blocks of width 512."""
    return {"width": 512, "depth": 8}


@_imagenet(params=36_005_416, params_released=36_025_896, published=_published(73.68, 13.90))
def spikformer_10_512() -> dict[str, Any]:
    """10 blocks of width 512."""
    return {"width": 512, "depth": 10}


@_imagenet(params=66_338_632, params_released=66_363_208, published=_published(74.81, 21.48))
def spikformer_8_768() -> dict[str, Any]:
    """8 blocks of width 768."""
    return {"width": 768, "depth": 8}


_cifar = partial(_register, input_size=(3, 32, 32), recipe="cifar_spikformer")


@_cifar(params=4_155_178, params_released=4_159_274, unpublished=_ONE_CIFAR)
def spikformer_cifar_4_256() -> dict[str, Any]:
    """4 blocks of width 256 for CIFAR-10; its number of heads is stated nowhere, so they are as wide as the others'."""
    return {"width": 256, "depth": 4, "heads": 8, "pooling": "0011", "qkv_bias": True, "classes": 10}


@_cifar(params=5_765_050, params_released=5_768_122, unpublished=_ONE_CIFAR)
def spikformer_cifar_2_384() -> dict[str, Any]:
    """2 blocks of width 384 for CIFAR-10; `classes=100` for CIFAR-100."""
    return {"width": 384, "depth": 2, "heads": 12, "pooling": "0011", "qkv_bias": True, "classes": 10}


@_cifar(
    params=9_324_730, params_released=9_330_874,
    published={
        "cifar10_top1": 95.51, "cifar100_top1": 78.21,
        "source": "CIFAR table of arXiv 2209.15425, T = 4, as its readers quote it; CIFAR-10 after 400 epochs",
    },
)  # fmt: skip
def spikformer_cifar_4_384() -> dict[str, Any]:
    """4 blocks of width 384 for CIFAR-10; `classes=100` for CIFAR-100."""
    return {"width": 384, "depth": 4, "heads": 12, "pooling": "0011", "qkv_bias": True, "classes": 10}
