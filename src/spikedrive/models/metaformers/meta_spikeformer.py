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

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor

from spikedrive.blocks import (
    MLP,
    ClassifyHead,
    Init,
    InputKind,
    MembraneBlock,
    NeuronLike,
    RepConv,
    SepConv,
    SpikeAttention,
    SpikingModel,
    check_init,
    initialise_pyramid,
    pyramid_features,
    pyramid_stages,
)
from spikedrive.models._registry import OUR_SHAPE, register_model
from spikedrive.models.metaformers import _layout
from spikedrive.neurons.neuron import check_number


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
        check_init(init)
        check_number("MetaSpikeformer", "transformer_stages", transformer_stages, low=0, high=len(widths))

        def block(stage: int, width: int, rate: float) -> MembraneBlock:
            if stage < len(widths) - transformer_stages:
                return MembraneBlock(
                    rate,
                    separable=SepConv(
                        width, kernel_size=separable_kernel, ratio=separable_ratio, neuron=neuron,
                        spiking=spiking_separable,
                    ),
                    mlp=MLP(width, conv_ratio, kernel_size=3, bias=False, neuron=neuron),
                )  # fmt: skip
            attention = SpikeAttention(
                width, heads, variant="sdsa3", projection=partial(RepConv, outer_bn=outer_bn), neuron=neuron,
                threshold=attention_threshold, scale=attention_scale, joint=joint_qkv,
            )  # fmt: skip
            return MembraneBlock(
                rate, attention=attention, mlp=MLP(width, mlp_ratio, bias=bias, neuron=neuron)
            )

        self.stages = pyramid_stages(
            widths, depths, strides, in_channels=in_channels, block=block, stem_kernel=stem_kernel, bias=bias,
            drop_path=drop_path, neuron=neuron,
        )  # fmt: skip
        self.head = ClassifyHead(widths[-1], classes, neuron=neuron, distilled=distilled)
        initialise_pyramid(self, init)

    def forward(self, x: Tensor) -> Any:
        """Logits (B, K); a pair of them for a distilled model in training."""
        x = self.encode(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(x)

    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """The potentials after each asked stage, (T, B, C, H, W)."""
        return pyramid_features(self.stages, self.encode(x), levels)


_PARTS = (
    (r"Conv\.pwconv1", "separable.expand.conv"), (r"Conv\.bn1", "separable.expand.bn"),
    (r"Conv\.dwconv", "separable.mix.depthwise"), (r"Conv\.pwconv2", "separable.mix.pointwise.conv"),
    (r"Conv\.bn2", "separable.mix.pointwise.bn"),
    (r"Conv\.lif1", "separable.in_neuron"), (r"Conv\.lif2", "separable.mid_neuron"),
    (r"(?<=\d\.)conv1", "mlp.expand.conv"), (r"(?<=\d\.)bn1", "mlp.expand.bn"),
    (r"(?<=\d\.)conv2", "mlp.reduce.conv"), (r"(?<=\d\.)bn2", "mlp.reduce.bn"),
    (r"(?<=\d\.)lif1", "mlp.in_neuron"), (r"(?<=\d\.)lif2", "mlp.mid_neuron"),
    (r"attn\.([qkv]|proj)_conv\.0\.body\.0", r"attention.\1.reduce"),
    (r"attn\.([qkv]|proj)_conv\.0\.body\.1\.bn", r"attention.\1.pad_bn"),
    (r"attn\.([qkv]|proj)_conv\.0\.body\.2\.0", r"attention.\1.depthwise"),
    (r"attn\.([qkv]|proj)_conv\.0\.body\.2\.1", r"attention.\1.expand"),
    (r"attn\.([qkv]|proj)_conv\.0\.body\.2\.2", r"attention.\1.bn"),
    (r"attn\.([qkv]|proj)_conv\.1", r"attention.\1.outer_bn"),
)  # fmt: skip


def rename(key: str, *, distilled: bool = False) -> str:
    """Our name for a parameter or a neuron of the published code.

    >>> rename("block3.0.attn.q_conv.0.body.1.bn.weight")
    'stages.3.blocks.0.attention.q.pad_bn.weight'
    """
    return _layout.rename(key, _PARTS, distilled=distilled)


def remap(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published layout in our names; Conv1d weights get their second spatial axis."""
    distilled = _layout.is_distilled(state_dict)
    return {rename(key, distilled=distilled): _layout.as_conv2d(value) for key, value in state_dict.items()}


_imagenet = partial(
    register_model, MetaSpikeformer, input_size=(3, 224, 224), paper="2404.03663", verdict_released="hybrid",
    verdict_repaired="additive", recipe="imagenet_meta_spikeformer",
)  # fmt: skip
_published = partial(_imagenet, remap=remap, licence="none stated by the original")
_spiking = partial(_imagenet, unpublished=OUR_SHAPE)


def _quoted(**figures: float) -> dict[str, float | str]:
    return {**figures, "source": "ImageNet table of arXiv 2404.03663, as its readers quote it"}


@_published(
    params=15_112_208, params_released=15_112_208,
    published=_quoted(
        imagenet1k_top1_t1=71.8, imagenet1k_top1_t4=74.1, energy_mj_t1=4.0, energy_mj_t4=16.7,
    ),
)  # fmt: skip
def meta_spikeformer_15m() -> dict[str, Any]:
    """15.1M parameters, as published."""
    return {"widths": (32, 64, 128, 256, 360)}


@_published(
    params=31_333_864, params_released=31_333_864,
    published=_quoted(
        imagenet1k_top1_t1=75.4, imagenet1k_top1_t4=77.2, energy_mj_t1=7.8, energy_mj_t4=32.8,
    ),
)  # fmt: skip
def meta_spikeformer_31m() -> dict[str, Any]:
    """31.3M parameters, as published."""
    return {"widths": (48, 96, 192, 384, 480)}


@_published(
    params=55_350_248, params_released=55_350_248,
    published={
        **_quoted(imagenet1k_top1_t1=78.0, imagenet1k_top1_t4=79.7, energy_mj_t1=13.0, energy_mj_t4=52.4),
        "imagenet1k_top1_best": 80.0,
        "source": "abstract of arXiv 2404.03663 (the best: distilled), and its ImageNet table, as its readers quote it",
    },
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
    verdict_released="hybrid", verdict_repaired="additive", unpublished=OUR_SHAPE, recipe="fashion_mnist_mini",
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
