"""Spike-driven Transformer (V1): a vision transformer whose attention is a mask and an addition.

*Source*: "Spike-driven Transformer", arXiv 2307.01694 (NeurIPS 2023); code BICLab/Spike-Driven-Transformer, commit
3faa8227, Apache-2.0 (written here from its description; `remap` reads the layout of its checkpoints).

*Where we differ*: sequences come as (T, B, C, H, W), the original takes them batch first; drop-path is applied
where asked (the original builds it and never applies it); the dead `talking_heads` convolution of each block
(64 parameters) is left out unless `as_released=True`, and the dead neurons `attn_lif` and `rpe_lif` always.

*Expected*: the cards hold what the original publishes; nothing but `spike_driven_transformer_nano` was trained here.
The original initialisation gives an almost silent network in eval mode until the BatchNorm statistics have adapted.

`spike_driven_transformer_{depth}_{width}` are the ImageNet models, `..._cifar_...` take 32 x 32 pictures, and
`..._cifar10_dvs_...` and `..._gesture_...` take frames of event cameras. `spike_driven_transformer_nano` has the same
parts for 28 x 28 pictures, with integers in one step and a binary mask, and `spike_driven_transformer_dvs_nano` for
event frames of 34 x 34 and 64 x 64, with spikes in 8 steps; it starts wider, as from the original's start the head's
neurons are silent in eval mode until BatchNorm's statistics have settled.
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
    Init,
    InputKind,
    MembraneShortcut,
    NeuronLike,
    PatchStem,
    SpikeAttention,
    SpikingModel,
    check_init,
    initialise_pyramid,
    select_levels,
)
from spikedrive.models._registry import OUR_SHAPE, register_model
from spikedrive.neurons.neuron import check_count


class _Block(nn.Module):
    """SDSA-1 and a two-layer 1 x 1 mixer, each with a membrane shortcut."""

    def __init__(
        self, width: int, *, heads: int, ratio: float, pool: bool, mask_threshold: float, as_released: bool,
        drop_path: float, neuron: NeuronLike, mask_neuron: NeuronLike | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.attention = SpikeAttention(
            width, heads, variant="sdsa1", projection=ConvBN, output=partial(ConvBN, bias=True), neuron=neuron,
            pool=pool, last=mask_neuron, threshold=mask_threshold,
        )  # fmt: skip
        if as_released:
            self.attention.talking_heads = nn.Conv1d(heads, heads, 1, bias=False)
        # the original adds an inner shortcut wherever both layers of the mixer are equally wide
        self.mlp = MLP(width, ratio, inner_shortcut=int(width * ratio) == width, neuron=neuron)
        self.shortcut = MembraneShortcut(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shortcut(x, self.attention(x))
        return self.shortcut(x, self.mlp(x))


class SpikeDrivenTransformer(SpikingModel):
    """Patch stem, equal blocks, mean over positions, one spiking linear head.

    `pooling` says which of the stem's four stages halve the resolution; `pool_attention` is the original's DVS mode
    (see `SpikeAttention`). `mask_neuron` (by default `neuron`) stands behind the attention's sum over tokens with
    `mask_threshold` times its threshold; a binary one keeps what it masks within the levels of q. `per_step` answers at
    every step, for the TET loss.

    *Shapes*: x (B, C, H, W), or (T, B, C, H, W) for `input="frames"` -> (B, K), with `per_step` (T, B, K).
    `forward_features` has four levels: the spikes of the stem's first three stages, and the potentials after the last
    block.
    *Multiplies*: the first convolution only: it meets pixels. Everything else meets spikes.
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
        pool_attention: bool = False,
        mask_neuron: NeuronLike | None = None,
        mask_threshold: float = 0.5,
        per_step: bool = False,
        neuron: NeuronLike = "LIF",
        steps: int = 4,
        classes: int = 1000,
        in_channels: int = 3,
        input: InputKind = "image",
        drop_path: float = 0.0,
        init: Init = "released",
        as_released: bool = False,
    ) -> None:
        super().__init__(input=input, in_channels=in_channels, classes=classes, steps=steps)
        check_count("SpikeDrivenTransformer", "depth", depth)
        check_init(init)
        self.stem = PatchStem(in_channels, width, pooling=pooling, neuron=neuron)
        block = partial(
            _Block,
            width,
            heads=heads,
            ratio=mlp_ratio,
            pool=pool_attention,
            mask_neuron=mask_neuron,
            mask_threshold=mask_threshold,
            as_released=as_released,
            neuron=neuron,
        )
        self.blocks = nn.Sequential(
            *(block(drop_path=drop_path * i / max(1, depth - 1)) for i in range(depth))
        )
        self.head = ClassifyHead(width, classes, neuron=neuron, per_step=per_step)
        if init == "levels":
            initialise_pyramid(self, init)
            return
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Any:
        """Logits (B, K), or (T, B, K) with `per_step`."""
        return self.head(self.blocks(self.stem(self.encode(x))))

    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """The spikes of three stages of the stem, then the potentials after the last block, (T, B, C, H, W)."""
        chosen = select_levels(levels, 4)
        *finer, x = self.stem.every_stage(self.encode(x))
        every = [*finer, self.blocks(x) if 3 in chosen else x]
        return [every[level] for level in chosen]


_NAMES = (
    (r"patch_embed\.proj_(conv|bn)(\d?)", lambda m: f"stem.convs.{m[2] or 0}.{m[1]}"),
    (r"patch_embed\.proj_lif(\d?)", lambda m: f"stem.neurons.{m[1] or 0}"),
    (r"patch_embed\.rpe_(conv|bn)", r"stem.position.\1"),
    (r"^block\.", "blocks."),
    (r"attn\.shortcut_lif", "attention.in_neuron"), (r"attn\.talking_heads_lif", "attention.out_neuron"),
    (r"attn\.([qkv])_lif", r"attention.\1_neuron"), (r"attn\.([qkv]|proj)_(conv|bn)", r"attention.\1.\2"),
    (r"attn\.talking_heads", "attention.talking_heads"),
    (r"mlp\.fc1_(conv|bn)", r"mlp.expand.\1"), (r"mlp\.fc2_(conv|bn)", r"mlp.reduce.\1"),
    (r"mlp\.fc1_lif", "mlp.in_neuron"), (r"mlp\.fc2_lif", "mlp.mid_neuron"),
    (r"^head_lif", "head.neuron"), (r"^head\.(weight|bias)", r"head.linear.\1"),
)  # fmt: skip


def rename(key: str) -> str:
    """Our name for a parameter or a neuron of the published code.

    >>> rename("patch_embed.proj_bn2.weight"), rename("block.0.attn.q_lif")
    ('stem.convs.2.bn.weight', 'blocks.0.attention.q_neuron')
    """
    for pattern, ours in _NAMES:
        key = re.sub(pattern, ours, key)
    return key


def remap(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published layout in our names."""
    return {rename(key): value for key, value in state_dict.items()}


# parameters that the released code holds and never uses; the neurons own one where they are PLIF
_DEAD = ("talking_heads.", "attn_lif.", "rpe_lif.")
_register = partial(
    register_model, SpikeDrivenTransformer, paper="2307.01694", remap=remap, dead=_DEAD,
    verdict_released="additive", verdict_repaired="additive",
)  # fmt: skip
_imagenet = partial(_register, input_size=(3, 224, 224), recipe="imagenet_spike_driven_transformer")
_cifar = partial(_register, input_size=(3, 32, 32), recipe="cifar_spike_driven_transformer")
_README = "README of BICLab/Spike-Driven-Transformer, ImageNet-1k, T = 4; resolution not stated there"


def _published(top1: float, millijoules: float) -> dict[str, float | str]:
    return {"imagenet1k_top1": top1, "energy_mj": millijoules, "source": _README}


def _quoted(**top1: float) -> dict[str, float | str]:
    return {**top1, "source": "tables of arXiv 2307.01694, as its readers quote them"}


@_imagenet(params=16_816_024, params_released=16_816_536, published=_published(72.28, 3.90))
def spike_driven_transformer_8_384() -> dict[str, Any]:
    """8 blocks of width 384."""
    return {"width": 384, "depth": 8}


@_imagenet(params=23_373_352, params_released=23_373_736, published=_published(74.11, 3.56))
def spike_driven_transformer_6_512() -> dict[str, Any]:
    """6 blocks of width 512."""
    return {"width": 512, "depth": 6}


@_imagenet(params=29_689_384, params_released=29_689_896, published=_published(74.57, 4.50))
def spike_driven_transformer_8_512() -> dict[str, Any]:
    """8 blocks of width 512."""
    return {"width": 512, "depth": 8}


@_imagenet(params=36_005_416, params_released=36_006_056, published=_published(74.66, 5.53))
def spike_driven_transformer_10_512() -> dict[str, Any]:
    """10 blocks of width 512."""
    return {"width": 512, "depth": 10}


@_imagenet(params=66_338_632, params_released=66_339_144, published=_published(77.07, 6.09))
def spike_driven_transformer_8_768() -> dict[str, Any]:
    """8 blocks of width 768."""
    return {"width": 768, "depth": 8}


@_cifar(
    params=10_233_418, params_released=10_233_546,
    published=_quoted(cifar10_top1=95.6, cifar100_top1=78.4),
)  # fmt: skip
def spike_driven_transformer_cifar_2_512() -> dict[str, Any]:
    """2 blocks of width 512 for CIFAR-10; `classes=100` for CIFAR-100."""
    return {"width": 512, "depth": 2, "pooling": "0011", "classes": 10}


@_cifar(
    params=2_566_954, params_released=2_567_082,
    unpublished="the paper's CIFAR figures are those of 2-512",
)  # fmt: skip
def spike_driven_transformer_cifar_2_256() -> dict[str, Any]:
    """2 blocks of width 256 for CIFAR-10; `classes=100` for CIFAR-100."""
    return {"width": 256, "depth": 2, "pooling": "0011", "classes": 10}


@_register(
    params=2_566_666, params_released=2_566_794, input_size=(2, 64, 64), modality="events",
    published=_quoted(cifar10_dvs_top1_t16=80.0),
)  # fmt: skip
def spike_driven_transformer_cifar10_dvs_2_256() -> dict[str, Any]:
    """2 blocks of width 256 for CIFAR10-DVS, 10 frames of 2 polarities."""
    return {
        "width": 256, "depth": 2, "pooling": "0011", "classes": 10, "in_channels": 2, "input": "frames",
        "steps": 10, "pool_attention": True,
    }  # fmt: skip


@_register(
    params=2_566_923, params_released=2_567_051, input_size=(2, 128, 128), modality="events",
    published=_quoted(dvs128_gesture_top1=99.3),
)  # fmt: skip
def spike_driven_transformer_gesture_2_256() -> dict[str, Any]:
    """2 blocks of width 256 for DVS128 Gesture, 16 frames of 2 polarities."""
    return {
        "width": 256, "depth": 2, "pooling": "0111", "classes": 11, "in_channels": 2, "input": "frames",
        "steps": 16, "pool_attention": True,
    }  # fmt: skip


_register_small = partial(
    register_model, SpikeDrivenTransformer, paper="2307.01694", verdict_released="additive",
    verdict_repaired="additive", unpublished=OUR_SHAPE,
)  # fmt: skip


@_register_small(params=289_918, input_size=(1, 28, 28), levels=4, recipe="fashion_mnist")
def spike_driven_transformer_nano() -> dict[str, Any]:
    """Every part of the family for 28 x 28 pictures, with integers 0..4 in one step."""
    return {
        "width": 96, "depth": 2, "heads": 4, "mlp_ratio": 2, "pooling": "1100", "mask_threshold": 32.0,
        "neuron": {"name": "ILIF", "levels": 4}, "mask_neuron": {"name": "ILIF", "levels": 1}, "steps": 1,
        "classes": 10, "in_channels": 1, "init": "levels",
    }  # fmt: skip


@_register_small(params=290_026, input_size=(2, 34, 34), modality="events")
def spike_driven_transformer_dvs_nano() -> dict[str, Any]:
    """Every part of the members for event cameras, for 8 frames of 34 x 34 or 64 x 64."""
    return {
        "width": 96, "depth": 2, "heads": 4, "mlp_ratio": 2, "pooling": "1100", "classes": 10, "in_channels": 2,
        "input": "frames", "steps": 8, "pool_attention": True, "init": "levels",
    }  # fmt: skip
