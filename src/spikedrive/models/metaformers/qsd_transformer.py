"""QSD-Transformer: Meta-SpikeFormer with 4-bit weights and integer neurons.

*Source*: "Quantized Spike-driven Transformer", arXiv 2501.13492 (ICLR 2025); code bollossom/QSD-Transformer, commit
cd733833, which has no licence file (written here from its description; `remap` reads the layout of its checkpoints).

*Bi-level rectification*: below, the information-enhanced neuron, which tells 0..D apart where a binary one tells
0 and 1 (`neurons.information_enhanced`); above, distillation that aligns what attention reads with a teacher's
(`training.losses.similarity_distillation`; the released code has none).

*Where we differ*: the step of a weight starts at the value that the original gives it in its first training forward,
and is defined before; the parameters of an activation quantiser that does nothing are left out unless
`as_released=True`; depths, kernels and ratios are arguments; 1 x 1 Conv1d layers are held as Conv2d.

*Expected*: published top-1 on ImageNet-1k stands in the cards; nothing but `qsd_transformer_nano` was trained here.

Between RepConv's and separable convolutions the published models meet real values; `fuse(model, dense_separable=True)`
makes them additive, with dense weights that are no longer of 4 bits. `qsd_transformer_nano` has a neuron before each
layer, so that its 4-bit weights stay what is stored: a BatchNorm behind one only scales its step.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.blocks import (
    MLP,
    ClassifyHead,
    ConvBN,
    Init,
    InputKind,
    LayerScale,
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
    quantise_weights,
)
from spikedrive.models._registry import OUR_SHAPE, register_model
from spikedrive.models.metaformers import _layout, meta_spikeformer
from spikedrive.neurons.neuron import check_number

NEURON: NeuronLike = {
    "name": "ILIF", "levels": 4, "threshold": 0.25, "scale": 0.25, "rounding": "half_up", "gate": "open",
}  # fmt: skip
"""`neurons.information_enhanced()`: takes 0..1 to multiples of 1/4, passes the gradient on 0 < x < 1."""


class QSDTransformer(SpikingModel):
    """Stages of downsampling and blocks, mean over positions, one spiking linear head; every weight quantised.

    `widths`, `depths` and `strides` name one value a stage; the last `transformer_stages` hold transformer blocks,
    whose branches end in a learned gain a channel that starts at `layer_scale`, the others convolution blocks. The
    neuron behind the attention product emits `attention_gain` times what another would. `weight_bits` counts the bits
    of each weight, the first convolution's and the head's included. With `spiking_layers` a neuron stands before every
    layer: attention projects by 1 x 1 convolutions instead of RepConv, and separable convolutions have a third neuron.

    *Shapes*: x (B, C, H, W), or (T, B, C, H, W) for `input="frames"` -> (B, K). `forward_features` gives one level a
    stage.
    *Multiplies*: the first convolution (pixels); without `spiking_layers` real values inside of RepConv and behind
    depthwise convolutions, until they are fused.
    *Raises*: ConfigError for lists of unequal length and other arguments out of range, and for a neuron without an
    output scale where `attention_gain` is not 1.
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
        attention_scale: float = 0.25,
        attention_gain: float = 2.0,
        layer_scale: float = 1e-6,
        weight_bits: int = 4,
        spiking_layers: bool = False,
        neuron: NeuronLike = NEURON,
        steps: int = 1,
        classes: int = 1000,
        in_channels: int = 3,
        input: InputKind = "image",
        drop_path: float = 0.0,
        init: Init = "released",
        as_released: bool = False,
    ) -> None:
        super().__init__(input=input, in_channels=in_channels, classes=classes, steps=steps)
        check_init(init)
        check_number("QSDTransformer", "transformer_stages", transformer_stages, low=0, high=len(widths))
        projection = ConvBN if spiking_layers else RepConv

        def block(stage: int, width: int, rate: float) -> MembraneBlock:
            if stage < len(widths) - transformer_stages:
                separable = SepConv(
                    width,
                    kernel_size=separable_kernel,
                    ratio=separable_ratio,
                    neuron=neuron,
                    spiking=spiking_layers,
                )
                return MembraneBlock(
                    rate,
                    separable=separable,
                    mlp=MLP(width, conv_ratio, kernel_size=3, bias=False, neuron=neuron),
                )
            attention = SpikeAttention(
                width, heads, variant="sdsa3", projection=projection, neuron=neuron, threshold=1.0, gain=attention_gain,
                output=lambda a, b: LayerScale(projection(a, b), b, layer_scale), scale=attention_scale,
            )  # fmt: skip
            return MembraneBlock(
                rate, attention=attention, mlp=MLP(width, mlp_ratio, layer_scale=layer_scale, neuron=neuron)
            )

        self.stages = pyramid_stages(
            widths, depths, strides, in_channels=in_channels, block=block, stem_kernel=stem_kernel,
            drop_path=drop_path, neuron=neuron,
        )  # fmt: skip
        self.head = ClassifyHead(widths[-1], classes, neuron=neuron)
        # levels of a quarter each
        initialise_pyramid(self, init, gain=0.5, shift=0.25)
        quantise_weights(self, bits=weight_bits)
        if as_released:
            for layer in [m for m in self.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]:
                layer.act = _DeadQuantiser(
                    layer.in_channels if isinstance(layer, nn.Conv2d) else layer.in_features
                )

    def forward(self, x: Tensor) -> Any:
        """Logits (B, K)."""
        x = self.encode(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(x)

    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """The potentials after each asked stage, (T, B, C, H, W)."""
        return pyramid_features(self.stages, self.encode(x), levels)


class _DeadQuantiser(nn.Module):
    """The parameters that every layer of the release holds for its input and never reads."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.zero_point = nn.Parameter(torch.zeros(channels))


_CHAINS = r"(stages\.[34]\.blocks\.\d+\.(?:attention\.proj|mlp\.reduce))\."


def rename(key: str) -> str:
    """Our name for a parameter or a neuron of the published code; see `remap` for weights and their steps.

    >>> rename("block4.1.attn.proj_conv.1.weight"), rename("block3.0.layer_scale1")
    ('stages.4.blocks.1.attention.proj.chain.outer_bn.weight', 'stages.3.blocks.0.attention.proj.gain')
    """
    key = re.sub(_CHAINS, r"\1.chain.", meta_spikeformer.rename(key))
    return key.replace("layer_scale1", "attention.proj.gain").replace("layer_scale2", "mlp.reduce.gain")


def remap(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published layout in our names; a layer's alpha is the step of its weight."""
    steps = {key for key in state_dict if key.endswith(".alpha") and not key.endswith(".act.alpha")}
    weights = {key.removesuffix("alpha") + "weight" for key in steps}
    ours = {}
    for key, value in state_dict.items():
        name = rename(key)
        if key in weights:
            name = name.removesuffix("weight") + "parametrizations.weight.original"
        elif key in steps:
            name = name.removesuffix("alpha") + "parametrizations.weight.0.step"
        ours[name] = _layout.as_conv2d(value)
    return ours


_published = partial(
    register_model, QSDTransformer, input_size=(3, 224, 224), levels=4, paper="2501.13492", remap=remap,
    dead=(".act.", ".init_state"), verdict_released="hybrid", verdict_repaired="additive",
    licence="none stated by the original", recipe="imagenet_qsd_transformer",
)  # fmt: skip
_LARGEST = "the abstract gives one accuracy, without a size: it stands at the largest"


@_published(params=15_160_432, params_released=15_245_862, unpublished=_LARGEST)
def qsd_transformer_15m() -> dict[str, Any]:
    """15.2M parameters of 4 bits."""
    return {"widths": (32, 64, 128, 256, 360)}


@_published(params=31_403_360, params_released=31_527_302, unpublished=_LARGEST)
def qsd_transformer_31m() -> dict[str, Any]:
    """31.4M parameters of 4 bits."""
    return {"widths": (48, 96, 192, 384, 480)}


@_published(
    params=55_442_576, params_released=55_607_830,
    published={
        "imagenet1k_top1_best": 80.3,
        "source": "abstract of arXiv 2501.13492, for the largest of its sizes; T and D not stated there",
    },
)  # fmt: skip
def qsd_transformer_55m() -> dict[str, Any]:
    """55.4M parameters of 4 bits."""
    return {"widths": (64, 128, 256, 512, 640)}


@register_model(
    QSDTransformer, params=345_940, input_size=(1, 28, 28), levels=4, paper="2501.13492",
    verdict_released="additive", verdict_repaired="additive", unpublished=OUR_SHAPE, recipe="fashion_mnist",
)  # fmt: skip
def qsd_transformer_nano() -> dict[str, Any]:
    """Every part of the family for 28 x 28 pictures, with a neuron before each 4-bit layer."""
    return {
        "widths": (32, 64, 128), "depths": (1, 1, 1), "strides": (2, 2, 2), "transformer_stages": 1,
        "stem_kernel": 5, "separable_kernel": 3, "conv_ratio": 1, "mlp_ratio": 2, "heads": 4,
        "attention_scale": 1 / 32, "layer_scale": 1.0, "spiking_layers": True, "classes": 10,
        "in_channels": 1, "init": "levels",
    }  # fmt: skip
