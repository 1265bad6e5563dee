"""Meta-SpikeFormer (Spike-driven Transformer V2): a pyramid of spiking convolution and transformer blocks.

*Source*: "Spike-driven Transformer V2: Meta Spiking Neural Network Architecture Inspiring the Design of
Next-generation Neuromorphic Chips", arXiv 2404.03663 (ICLR 2024); code BICLab/Spike-Driven-Transformer-V2, commit
35f245f4, which has no licence file (written here from its description; `remap` reads the layout of its checkpoints).

*Where we differ*: depths, kernels and ratios are arguments; drop-path is applied where asked (the original builds it
and never applies it); 1 x 1 Conv1d layers are held as Conv2d; see RepConv for its padding in training.

*Expected*: published top-1 on ImageNet-1k stands in the cards; nothing but `meta_spikeformer_nano` was trained here.

Three lines of models:

- `meta_spikeformer_15m/31m/55m`: as published. The 1 x 1 convolution after each depthwise one, and RepConv's inside,
  meet real values: additive only after `fuse(model, dense_separable=True)`.
- `meta_spikeformer_spiking_15m/31m/55m`: a neuron between depthwise and pointwise convolutions everywhere (as V3's
  base has), so that `fuse(model)` alone is additive and stays separable.
- `meta_spikeformer_nano`: the same parts for 28 x 28 pictures, with integer neurons in one step.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, get_args

from torch import Tensor, nn

from spikedrive.blocks import (
    MLP,
    ClassifyHead,
    Downsample,
    InputKind,
    MembraneShortcut,
    NeuronLike,
    RepConv,
    SepConv,
    SpikeAttention,
    SpikingModel,
    select_levels,
    spread_over_levels,
)
from spikedrive.errors import ConfigError, unknown_name
from spikedrive.models._registry import register_model

Init = Literal["released", "levels"]
"""The original's (PyTorch's own for convolutions); or normal with variance 1 / fan-in, and BatchNorms that
spread the membrane over an integer neuron's levels (`blocks.spread_over_levels`)."""


class _ConvBlock(nn.Module):
    """SepConv and a two-layer k x k mixer, each with a membrane shortcut."""

    def __init__(
        self, channels: int, *, kernel_size: int, separable_ratio: float, ratio: float, spiking: bool,
        drop_path: float, neuron: NeuronLike,
    ) -> None:  # fmt: skip
        super().__init__()
        self.separable = SepConv(
            channels, kernel_size=kernel_size, ratio=separable_ratio, neuron=neuron, spiking=spiking
        )
        self.mlp = MLP(channels, ratio, kernel_size=3, bias=False, neuron=neuron)
        self.shortcut = MembraneShortcut(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shortcut(x, self.separable(x))
        return self.shortcut(x, self.mlp(x))


class _TransformerBlock(nn.Module):
    """SDSA-3 on RepConv projections and a two-layer 1 x 1 mixer, each with a membrane shortcut."""

    def __init__(
        self, channels: int, *, heads: int, scale: float, threshold: float, joint_qkv: bool, outer_bn: bool,
        ratio: float, bias: bool, drop_path: float, neuron: NeuronLike,
    ) -> None:  # fmt: skip
        super().__init__()
        self.attention = SpikeAttention(
            channels, heads, variant="sdsa3", projection=partial(RepConv, outer_bn=outer_bn), neuron=neuron,
            threshold=threshold, scale=scale, joint=joint_qkv,
        )  # fmt: skip
        self.mlp = MLP(channels, ratio, bias=bias, neuron=neuron)
        self.shortcut = MembraneShortcut(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shortcut(x, self.attention(x))
        return self.shortcut(x, self.mlp(x))


class _Stage(nn.Module):
    """Downsampling, then blocks of one kind."""

    def __init__(self, downsample: nn.Module, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.downsample(x))


class MetaSpikeformer(SpikingModel):
    """Stages of downsampling and blocks, mean over positions, one spiking linear head.

    `widths`, `depths` and `strides` name one value a stage; the last `transformer_stages` hold transformer blocks, the
    others convolution blocks. `spiking_separable` puts a neuron between depthwise and pointwise convolutions.
    `attention_scale` (a power of two) and `attention_threshold` stand in front of the attention's last neuron;
    `joint_qkv` lets q, k and v share RepConv's first two convolutions. `outer_bn` (a second BatchNorm behind RepConv's
    own) and `bias` (in front of BatchNorm) are the original's, and change nothing that a network can compute.

    *Shapes*: x (B, C, H, W), or (T, B, C, H, W) for `input="frames"` -> (B, K); with `distilled` and in training a
    pair of them. `forward_features` gives one level a stage.
    *Multiplies*: the first convolution (pixels); see the module's docstring for the three lines of models.
    *Raises*: ConfigError for lists of unequal length and other arguments out of range.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int],
        depths: Sequence[int] = (1, 1, 2, 6, 2),
        strides: Sequence[int] = (2, 2, 2, 2, 1),
        transformer_stages: int = 2,
        stem_kernel: int = 7,
        separable_kernel: int = 7,
        separable_ratio: float = 2,
        conv_ratio: float = 4,
        mlp_ratio: float = 4,
        heads: int = 8,
        attention_scale: float = 0.125,
        attention_threshold: float = 0.5,
        joint_qkv: bool = False,
        outer_bn: bool = True,
        bias: bool = True,
        spiking_separable: bool = False,
        distilled: bool = False,
        neuron: NeuronLike = "LIF",
        steps: int = 4,
        classes: int = 1000,
        in_channels: int = 3,
        input: InputKind = "image",
        drop_path: float = 0.0,
        init: Init = "released",
    ) -> None:
        super().__init__(input=input, in_channels=in_channels, classes=classes, steps=steps)
        if init not in get_args(Init):
            raise unknown_name("initialisation", init, get_args(Init))
        if not len(widths) == len(depths) == len(strides) >= transformer_stages >= 0 or not widths:
            raise ConfigError(
                f"MetaSpikeformer got {len(widths)} widths, {len(depths)} depths, {len(strides)} strides and "
                f"transformer_stages={transformer_stages}; it takes one of each a stage, and at most as many "
                "transformer stages. Make the lists equally long."
            )
        conv = partial(
            _ConvBlock, kernel_size=separable_kernel, separable_ratio=separable_ratio, ratio=conv_ratio,
            spiking=spiking_separable, neuron=neuron,
        )  # fmt: skip
        transformer = partial(
            _TransformerBlock, heads=heads, scale=attention_scale, threshold=attention_threshold,
            joint_qkv=joint_qkv, outer_bn=outer_bn, ratio=mlp_ratio, bias=bias, neuron=neuron,
        )  # fmt: skip
        stages, built = [], 0
        for i, (width, depth, stride) in enumerate(zip(widths, depths, strides, strict=True)):
            first = i == 0
            downsample = Downsample(
                in_channels if first else widths[i - 1], width, stem_kernel if first else 3, stride=stride,
                bias=bias, neuron=None if first else neuron,
            )  # fmt: skip
            block = transformer if i >= len(widths) - transformer_stages else conv
            blocks = []
            for _ in range(depth):
                blocks.append(block(width, drop_path=drop_path * built / max(1, sum(depths) - 1)))
                built += 1
            stages.append(_Stage(downsample, blocks))
        self.stages = nn.ModuleList(stages)
        self.head = ClassifyHead(widths[-1], classes, neuron=neuron, distilled=distilled)
        _initialise(self, init)

    def forward(self, x: Tensor) -> Any:
        """Logits (B, K); a pair of them for a distilled model in training."""
        x = self.encode(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(x)

    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """The potentials after each asked stage, (T, B, C, H, W)."""
        chosen = select_levels(levels, len(self.stages))
        x = self.encode(x)
        features = []
        for level, stage in enumerate(self.stages[: chosen[-1] + 1]):
            x = stage(x)
            if level in chosen:
                features.append(x)
        return features


def _initialise(model: MetaSpikeformer, init: Init) -> None:
    for module in model.modules():
        if isinstance(module, nn.Linear) and init == "released":
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d) and init == "levels":
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
    if init == "levels":
        spread_over_levels(model)


_STAGES = {
    "downsample1_1": "stages.0.downsample", "ConvBlock1_1.0": "stages.0.blocks.0",
    "downsample1_2": "stages.1.downsample", "ConvBlock1_2.0": "stages.1.blocks.0",
    "downsample2": "stages.2.downsample", "ConvBlock2_1.0": "stages.2.blocks.0",
    "ConvBlock2_2.0": "stages.2.blocks.1",
    "downsample3": "stages.3.downsample", "block3": "stages.3.blocks",
    "downsample4": "stages.4.downsample", "block4": "stages.4.blocks",
}  # fmt: skip
_PARTS = (
    (r"encode_conv", "project.conv"), (r"encode_bn", "project.bn"), (r"encode_lif", "neuron"),
    (r"Conv\.pwconv1", "separable.expand.conv"), (r"Conv\.bn1", "separable.expand.bn"),
    (r"Conv\.dwconv", "separable.mix.depthwise"), (r"Conv\.pwconv2", "separable.mix.pointwise.conv"),
    (r"Conv\.bn2", "separable.mix.pointwise.bn"),
    (r"Conv\.lif1", "separable.in_neuron"), (r"Conv\.lif2", "separable.mid_neuron"),
    (r"(?<=\d\.)conv1", "mlp.expand.conv"), (r"(?<=\d\.)bn1", "mlp.expand.bn"),
    (r"(?<=\d\.)conv2", "mlp.reduce.conv"), (r"(?<=\d\.)bn2", "mlp.reduce.bn"),
    (r"(?<=\d\.)lif1", "mlp.in_neuron"), (r"(?<=\d\.)lif2", "mlp.mid_neuron"),
    (r"attn\.head_lif", "attention.in_neuron"), (r"attn\.attn_lif", "attention.out_neuron"),
    (r"attn\.([qkv])_lif", r"attention.\1_neuron"),
    (r"attn\.([qkv]|proj)_conv\.0\.body\.0", r"attention.\1.reduce"),
    (r"attn\.([qkv]|proj)_conv\.0\.body\.1\.bn", r"attention.\1.pad_bn"),
    (r"attn\.([qkv]|proj)_conv\.0\.body\.2\.0", r"attention.\1.depthwise"),
    (r"attn\.([qkv]|proj)_conv\.0\.body\.2\.1", r"attention.\1.expand"),
    (r"attn\.([qkv]|proj)_conv\.0\.body\.2\.2", r"attention.\1.bn"),
    (r"attn\.([qkv]|proj)_conv\.1", r"attention.\1.outer_bn"),
    (r"mlp\.fc1_(conv|bn)", r"mlp.expand.\1"), (r"mlp\.fc2_(conv|bn)", r"mlp.reduce.\1"),
    (r"mlp\.fc1_lif", "mlp.in_neuron"), (r"mlp\.fc2_lif", "mlp.mid_neuron"),
)  # fmt: skip


def rename(key: str, *, distilled: bool = False) -> str:
    """Our name for a parameter or a neuron of the published code.

    >>> rename("block3.0.attn.q_conv.0.body.1.bn.weight")
    'stages.3.blocks.0.attention.q.pad_bn.weight'
    """
    if key == "lif":
        return "head.neuron"
    if key.startswith(("head.", "head_kd.")):
        part, name = key.split(".", 1)
        middle = {"head": ".label" if distilled else "", "head_kd": ".teacher"}[part]
        return f"head.linear{middle}.{name}"
    for theirs, ours in _STAGES.items():
        if key.startswith(theirs + "."):
            key = ours + key[len(theirs) :]
            break
    for pattern, ours in _PARTS:
        key = re.sub(pattern, ours, key)
    return key


def remap(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published layout in our names; Conv1d weights get their second spatial axis."""
    distilled = any(key.startswith("head_kd.") for key in state_dict)
    return {
        rename(key, distilled=distilled): value.unsqueeze(-1) if value.dim() == 3 else value
        for key, value in state_dict.items()
    }


_published = partial(
    register_model, MetaSpikeformer, input_size=(3, 224, 224), paper="2404.03663", remap=remap,
    verdict_released="hybrid", verdict_repaired="additive", licence="none stated by the original",
)  # fmt: skip
_spiking = partial(
    register_model, MetaSpikeformer, input_size=(3, 224, 224), paper="2404.03663",
    verdict_released="hybrid", verdict_repaired="additive",
)  # fmt: skip


@_published(params=15_112_208, params_released=15_112_208)
def meta_spikeformer_15m() -> dict[str, Any]:
    """15.1M parameters, as published."""
    return {"widths": (32, 64, 128, 256, 360)}


@_published(params=31_333_864, params_released=31_333_864)
def meta_spikeformer_31m() -> dict[str, Any]:
    """31.3M parameters, as published."""
    return {"widths": (48, 96, 192, 384, 480)}


@_published(
    params=55_350_248, params_released=55_350_248,
    published={"imagenet1k_top1_best": 80.0, "source": "abstract of arXiv 2404.03663 (55M, distilled)"},
)  # fmt: skip
def meta_spikeformer_55m() -> dict[str, Any]:
    """55.4M parameters, as published."""
    return {"widths": (64, 128, 256, 512, 640)}


@_spiking(params=15_113_616)
def meta_spikeformer_spiking_15m() -> dict[str, Any]:
    """The 15M shape with a neuron between depthwise and pointwise convolutions."""
    return {"widths": (32, 64, 128, 256, 360), "spiking_separable": True}


@_spiking(params=31_335_976)
def meta_spikeformer_spiking_31m() -> dict[str, Any]:
    """The 31M shape with a neuron between depthwise and pointwise convolutions."""
    return {"widths": (48, 96, 192, 384, 480), "spiking_separable": True}


@_spiking(params=55_353_064)
def meta_spikeformer_spiking_55m() -> dict[str, Any]:
    """The 55M shape with a neuron between depthwise and pointwise convolutions."""
    return {"widths": (64, 128, 256, 512, 640), "spiking_separable": True}


@register_model(
    MetaSpikeformer, params=378_858, input_size=(1, 28, 28), levels=4, paper="2404.03663",
    verdict_released="hybrid", verdict_repaired="additive", recipe="fashion_mnist_mini",
    measured={
        "test accuracy, %": "89.3 ± 0.5 (fp32), 89.1 ± 0.2 (integer program), seeds 0 1 2",
        "command": "python benchmarks/demo_seeds.py",
    },
)  # fmt: skip
def meta_spikeformer_nano() -> dict[str, Any]:
    """Every part of the family for 28 x 28 pictures, with integers 0..4 in one step."""
    return {
        "widths": (32, 64, 128), "depths": (1, 1, 1), "strides": (2, 2, 2), "transformer_stages": 1,
        "stem_kernel": 5, "separable_kernel": 3, "conv_ratio": 1, "mlp_ratio": 2, "heads": 4,
        "attention_scale": 1 / 512, "attention_threshold": 1.0, "joint_qkv": True, "outer_bn": False,
        "bias": False, "spiking_separable": True, "neuron": {"name": "ILIF", "levels": 4}, "steps": 1,
        "classes": 10, "in_channels": 1, "init": "levels",
    }  # fmt: skip
