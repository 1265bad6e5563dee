"""E-SpikeFormer, large models (Spike-driven Transformer V3): convolution stages, then one deep transformer stage.

*Source*: "Scaling Spike-driven Transformer with Efficient Spike Firing Approximation Training", arXiv 2411.16061
(TPAMI 2025); code BICLab/Spike-Driven-Transformer-V3, commit 00fcd1fd, Model_Large, which has no licence file (written
here from its description; `remap` reads the layout of its fine-tuned checkpoints). The base models: `e_spikeformer`.

Another code base than the base models': other blocks, neurons that round half up and close their gradient's gate at 0
and 4, and 1/8 in the attention whatever the width of a head.

*Where we differ*: the released 83M model stops at an unset name, and runs here; drop-path reaches its 1 x 1 branch
too; `spiking_head` lets the labels' head read the neuron as well, which makes the network additive
(`e_spikeformer_spiking_83m/171m`); 1 x 1 Conv1d layers are held as Conv2d.

*Expected*: published top-1 on ImageNet-1k stands in the cards, with masked pretraining and at 384 x 384 for the
largest; nothing was trained here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from spikedrive.blocks import (
    MLP,
    ClassifyHead,
    InputKind,
    LayerScale,
    MeanOverTime,
    MembraneBlock,
    NeuronLike,
    PointwiseMixer,
    RepPointwise,
    SpikeAttention,
    SpikingModel,
    integer_neuron,
    pyramid_features,
    pyramid_stages,
)
from spikedrive.models._registry import OUR_SHAPE, register_model
from spikedrive.models.metaformers import _layout

NEURON: NeuronLike = {"name": "ILIF", "levels": 4, "scale": 0.25, "rounding": "half_up", "gate": "open"}
"""Rounds half up, passes the gradient on 0 < x < 4, emits multiples of 1/4."""


class _AnalogHead(nn.Module):
    """Mean over positions, then the labels' linear layer; a teacher's one reads a neuron's integers."""

    def __init__(self, channels: int, classes: int, *, neuron: NeuronLike, distilled: bool) -> None:
        super().__init__()
        self.readout = MeanOverTime()
        if distilled:
            self.neuron = integer_neuron(neuron)
            self.linear: nn.Module = nn.ModuleDict(
                {"label": nn.Linear(channels, classes), "teacher": nn.Linear(channels, classes)}
            )
            self.teacher_readout = MeanOverTime()
        else:
            self.linear = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits; in training (labels', teacher's), in eval their mean."""
        mean = x.mean((3, 4))
        if not isinstance(self.linear, nn.ModuleDict):
            return self.readout(self.linear(mean))
        label = self.readout(self.linear["label"](mean))
        teacher = self.teacher_readout(self.linear["teacher"](self.neuron(mean)))
        return (label, teacher) if self.training else (label + teacher) * 0.5


class ESpikeformerLarge(SpikingModel):
    """Convolution stages, one transformer stage, mean over positions, one linear head.

    Blocks of the convolution stages are two-layer 3 x 3 mixers. Those of the last stage hold attention and a two-layer
    1 x 1 mixer, each with a learned gain a channel that starts at `layer_scale`; with `pointwise_branch` (the 83M
    model) a re-parameterised 1 x 1 convolution precedes them. As released the head's linear layer reads membrane
    potentials; with `spiking_head` a neuron's integers. `distilled` adds the teacher's linear layer, which reads
    integers either way.

    *Shapes*: x (B, C, H, W), or (T, B, C, H, W) for `input="frames"` -> (B, K); with `distilled` and in training a
    pair of them. `forward_features` gives one level a stage.
    *Multiplies*: the first convolution (pixels) and, without `spiking_head`, the head. Real values inside of
    RepPointwise chains, until they are fused.
    *Raises*: ConfigError for lists of unequal length and other arguments out of range.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int],
        depths: Sequence[int] = (1, 1, 2, 12),
        strides: Sequence[int] = (2, 2, 2, 2),
        stem_kernel: int = 7,
        conv_ratio: float = 4,
        mlp_ratio: float = 4,
        projection_ratio: float = 1.5,
        heads: int = 8,
        attention_scale: float = 0.125,
        layer_scale: float = 1e-6,
        pointwise_branch: bool = True,
        spiking_head: bool = False,
        distilled: bool = False,
        neuron: NeuronLike = NEURON,
        steps: int = 1,
        classes: int = 1000,
        in_channels: int = 3,
        input: InputKind = "image",
        drop_path: float = 0.0,
    ) -> None:
        super().__init__(input=input, in_channels=in_channels, classes=classes, steps=steps)
        projection = partial(RepPointwise, ratio=projection_ratio)

        def block(stage: int, width: int, rate: float) -> MembraneBlock:
            if stage < len(widths) - 1:
                return MembraneBlock(rate, mlp=MLP(width, conv_ratio, kernel_size=3, neuron=neuron))
            attention = SpikeAttention(
                width, heads, variant="sdsa3", projection=projection, neuron=neuron, threshold=1.0,
                output=lambda a, b: LayerScale(projection(a, b), b, layer_scale), scale=attention_scale,
            )  # fmt: skip
            mlp = MLP(width, mlp_ratio, layer_scale=layer_scale, neuron=neuron)
            first = {"pointwise": PointwiseMixer(width, neuron=neuron)} if pointwise_branch else {}
            return MembraneBlock(rate, **first, attention=attention, mlp=mlp)

        self.stages = pyramid_stages(
            widths, depths, strides, in_channels=in_channels, block=block, stem_kernel=stem_kernel,
            drop_path=drop_path, neuron=neuron,
        )  # fmt: skip
        head = partial(ClassifyHead, integers=True) if spiking_head else _AnalogHead
        self.head = head(widths[-1], classes, neuron=neuron, distilled=distilled)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

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
    (r"(?<=\d\.)neuron1", "mlp.in_neuron"), (r"(?<=\d\.)neuron2", "mlp.mid_neuron"),
    (r"(?<=\d\.)conv1\.0\.0", "mlp.expand.conv"), (r"(?<=\d\.)conv1\.0\.1", "mlp.expand.bn"),
    (r"(?<=\d\.)conv2\.0\.0", "mlp.reduce.conv"), (r"(?<=\d\.)conv2\.0\.1", "mlp.reduce.bn"),
    (r"(?<=\d\.)lif", "pointwise.neuron"),
    (r"rep_conv\.conv1\.0", "pointwise.project.reduce.conv"), (r"rep_conv\.conv1\.1", "pointwise.project.reduce.bn"),
    (r"rep_conv\.conv2\.0", "pointwise.project.expand.conv"), (r"rep_conv\.conv2\.1", "pointwise.project.expand.bn"),
    (r"attn\.([qkv])_conv", r"attention.\1"), (r"attn\.proj_conv", "attention.proj.chain"),
    (r"(attention\.(?:[qkv]|proj\.chain))\.0\.conv1\.0", r"\1.reduce.conv"),
    (r"(attention\.(?:[qkv]|proj\.chain))\.0\.conv1\.1", r"\1.reduce.bn"),
    (r"(attention\.(?:[qkv]|proj\.chain))\.0\.conv2\.0", r"\1.expand.conv"),
    (r"(attention\.(?:[qkv]|proj\.chain))\.0\.conv2\.1", r"\1.expand.bn"),
    (r"(attention\.(?:[qkv]|proj\.chain))\.1", r"\1.outer_bn"),
    (r"mlp\.fc2_(conv|bn)", r"mlp.reduce.chain.\1"),
    (r"layer_scale1", "attention.proj.gain"), (r"layer_scale2", "mlp.reduce.gain"),
)  # fmt: skip


def rename(key: str, *, distilled: bool = False) -> str:
    """Our name for a parameter or a neuron of the published code.

    >>> rename("block3.11.attn.proj_conv.0.conv2.1.weight"), rename("block3.0.layer_scale2")
    ('stages.3.blocks.11.attention.proj.chain.expand.bn.weight', 'stages.3.blocks.0.mlp.reduce.gain')
    """
    return _layout.rename(key, _PARTS, distilled=distilled)


def remap(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published layout in our names; Conv1d weights get their second spatial axis."""
    distilled = _layout.is_distilled(state_dict)
    return {rename(key, distilled=distilled): _layout.as_conv2d(value) for key, value in state_dict.items()}


_register = partial(
    register_model, ESpikeformerLarge, input_size=(3, 224, 224), levels=4, paper="2411.16061",
    verdict_released="hybrid", recipe="imagenet_e_spikeformer_large",
)  # fmt: skip
_published = partial(_register, remap=remap, verdict_repaired="hybrid", licence="none stated by the original")
_ABSTRACT = "abstract of arXiv 2411.16061, ImageNet-1k; resolution, T and D not stated there"


@_published(
    params=82_502_952, params_released=82_502_952,
    published={"imagenet1k_top1_best": 84.0, "source": _ABSTRACT},
)  # fmt: skip
def e_spikeformer_83m() -> dict[str, Any]:
    """82.5M parameters, as published; `distilled=True` for the checkpoints with a teacher's head."""
    return {"widths": (64, 128, 256, 512)}


@_published(
    params=170_971_714, params_released=170_971_714,
    published={"imagenet1k_top1_best": 86.2, "source": f"{_ABSTRACT}; called 173M"},
)  # fmt: skip
def e_spikeformer_171m() -> dict[str, Any]:
    """171.0M parameters, as published, with the 98 and 196 channels of its code."""
    return {"widths": (98, 196, 384, 768), "pointwise_branch": False}


@_register(params=82_502_952, verdict_repaired="additive", unpublished=OUR_SHAPE)
def e_spikeformer_spiking_83m() -> dict[str, Any]:
    """The 83M shape with a neuron in front of its head."""
    return {"widths": (64, 128, 256, 512), "spiking_head": True}


@_register(params=170_971_714, verdict_repaired="additive", unpublished=OUR_SHAPE)
def e_spikeformer_spiking_171m() -> dict[str, Any]:
    """The 171M shape with a neuron in front of its head."""
    return {"widths": (98, 196, 384, 768), "pointwise_branch": False, "spiking_head": True}
