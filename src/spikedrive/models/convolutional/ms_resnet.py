"""MS-ResNet: residual blocks whose shortcuts add membrane potentials.

*Source*: "Advancing Spiking Neural Networks Towards Deep Residual Learning", arXiv 2112.08954 (TNNLS 2024); code
Ariande1/MS-ResNet, commit 7c5f0066, which has no licence file (written here from its description; `remap` reads the
layout of its checkpoints).

*Where we differ*: the surrogate is the neuron's own (the original's is a rectangle of width 1); the maximum behind
the stem, which the original builds and never calls, is left out; drop-path is an argument; with an odd size the average
in the shortcut takes what there is at the border, where the original fails.

*Expected*: published top-1 on ImageNet-1k stands in the cards; nothing was trained here.

As released the network is hybrid: where a stage halves the resolution, the shortcut is a 1 x 1 convolution of
membrane potentials, which are real, and `ms_resnet104` begins with three convolutions in a row. No exact repair takes
the shortcut's multiplications away. In `ms_resnet_spiking{18,34}` it reads the spikes that the branch reads: as many
parameters, and additive.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from spikedrive.blocks import (
    ClassifyHead,
    ConvBN,
    EveryStep,
    InputKind,
    MembraneShortcut,
    NeuronLike,
    SpikingModel,
    make_neuron,
    pyramid_features,
)
from spikedrive.errors import ConfigError
from spikedrive.models._registry import OUR_SHAPE, register_model

MS_LIF = {"name": "LIF", "decay": 0.25, "decay_input": False, "threshold": 0.5, "strict": True}
"""The original's neuron."""


class _Block(nn.Module):
    """Neuron, 3 x 3 convolution, neuron, 3 x 3 convolution, and a shortcut between membranes."""

    def __init__(
        self, in_channels: int, width: int, *, stride: int, pool_shortcut: bool, spiking_shortcut: bool,
        drop_path: float, neuron: NeuronLike,
    ) -> None:  # fmt: skip
        super().__init__()
        self.in_neuron = make_neuron(neuron)
        self.expand = EveryStep(ConvBN(in_channels, width, 3, stride=stride))
        self.mid_neuron = make_neuron(neuron)
        self.reduce = EveryStep(ConvBN(width, width, 3))
        if stride == 1 and in_channels == width:
            self.project, spiking_shortcut = nn.Identity(), False
        elif pool_shortcut:
            pool = nn.AvgPool2d(stride, ceil_mode=True)
            self.project = EveryStep(pool, ConvBN(in_channels, width))
        else:
            self.project = EveryStep(ConvBN(in_channels, width, stride=stride))
        self.spiking_shortcut = spiking_shortcut
        self.shortcut = MembraneShortcut(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        s = self.in_neuron(x)
        x = self.project(s if self.spiking_shortcut else x)
        return self.shortcut(x, self.reduce(self.mid_neuron(self.expand(s))))


class MSResNet(SpikingModel):
    """An analog stem, stages of membrane-shortcut blocks, a neuron, mean over positions, one linear head.

    `widths` and `depths` name one value a stage; every stage halves the resolution. `deep_stem` are three 3 x 3
    convolutions in a row instead of one 7 x 7; `pool_shortcut` averages 2 x 2 in front of the shortcut's convolution
    instead of skipping positions; `spiking_shortcut` lets it read spikes instead of potentials.

    *Shapes*: x (B, C, H, W), or (T, B, C, H, W) for `input="frames"` -> (B, K). `forward_features` gives the
    potentials after each stage.
    *Multiplies*: the first convolution (pixels), and the shortcuts' convolutions unless `spiking_shortcut`; with
    `deep_stem` all three of its convolutions.
    *Raises*: ConfigError for lists of unequal length and other arguments out of range.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (64, 128, 256, 512),
        depths: Sequence[int] = (2, 2, 2, 2),
        deep_stem: bool = False,
        pool_shortcut: bool = False,
        spiking_shortcut: bool = False,
        dropout: float = 0.0,
        neuron: NeuronLike = MS_LIF,
        steps: int = 6,
        classes: int = 1000,
        in_channels: int = 3,
        input: InputKind = "image",
        drop_path: float = 0.0,
    ) -> None:
        super().__init__(input=input, in_channels=in_channels, classes=classes, steps=steps)
        if len(widths) != len(depths) or not widths:
            raise ConfigError(
                f"MSResNet got {len(widths)} widths and {len(depths)} depths; it takes one of each a stage. "
                "Make the lists equally long."
            )
        first = widths[0]
        if deep_stem:
            self.stem = EveryStep(
                nn.Conv2d(in_channels, first, 3, 2, 1), nn.Conv2d(first, first, 3, 1, 1),
                ConvBN(first, first, 3, bias=True),
            )  # fmt: skip
        else:
            self.stem = EveryStep(ConvBN(in_channels, first, 7, stride=2))
        block = partial(_Block, pool_shortcut=pool_shortcut, spiking_shortcut=spiking_shortcut, neuron=neuron)
        last = max(1, sum(depths) - 1)
        self.stages = nn.ModuleList()
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            before, built = widths[max(0, i - 1)], sum(depths[:i])
            self.stages.append(nn.Sequential(*(
                block(width if j else before, width, stride=1 if j else 2, drop_path=drop_path * (built + j) / last)
                for j in range(depth)
            )))  # fmt: skip
        self.head = ClassifyHead(widths[-1], classes, neuron=neuron, pool_spikes=True, dropout=dropout)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        return self.head(self.forward_features(x, [len(self.stages) - 1])[0])

    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """The potentials after each asked stage, (T, B, C, H, W)."""
        return pyramid_features(self.stages, self.stem(self.encode(x)), levels)


def _initialise(model: MSResNet) -> None:
    # the original's: normalised to its threshold, and every branch starts with nothing
    for module in model.modules():
        if isinstance(module, ConvBN):
            nn.init.constant_(module.bn.weight, 0.5)
    for module in model.modules():
        if isinstance(module, _Block):
            nn.init.zeros_(module.get_parameter("reduce.0.bn.weight"))


_NAMES = (
    (r"^conv(\d)_x\.", lambda m: f"stages.{int(m[1]) - 2}."),
    (r"^mem_update", "head.neuron"), (r"^fc\.", "head.linear."),
    (r"residual_function\.0", "in_neuron"), (r"residual_function\.3", "mid_neuron"),
    (r"residual_function\.1\.", "expand.0.conv."), (r"residual_function\.2\.bn\.", "expand.0.bn."),
    (r"residual_function\.4\.", "reduce.0.conv."), (r"residual_function\.5\.bn\.", "reduce.0.bn."),
    (r"shortcut\.(\d)\.bn\.", lambda m: f"project.{int(m[1]) - 1}.bn."), (r"shortcut\.(\d)\.", r"project.\1.conv."),
)  # fmt: skip


def rename(key: str, *, deep_stem: bool = False) -> str:
    """Our name for a parameter or a neuron of the published code.

    >>> rename("conv1.1.bn.weight"), rename("conv3_x.0.shortcut.1.bn.weight")
    ('stem.0.bn.weight', 'stages.1.0.project.0.bn.weight')
    """
    last = "2" if deep_stem else "0"
    key = re.sub(r"^conv1\.\d\.bn\.", f"stem.{last}.bn.", key)
    key = re.sub(rf"^conv1\.{last}\.", f"stem.{last}.conv.", key)
    key = re.sub(r"^conv1\.", "stem.", key)
    for pattern, ours in _NAMES:
        key = re.sub(pattern, ours, key)
    return key


def remap(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published layout in our names."""
    deep = any(key.startswith("conv1.2.") for key in state_dict)
    return {rename(key, deep_stem=deep): value for key, value in state_dict.items()}


_register = partial(
    register_model, MSResNet, input_size=(3, 224, 224), paper="2112.08954", remap=remap, params_derived=True,
    verdict_released="hybrid", verdict_repaired="hybrid", licence="none stated by the original",
    recipe="imagenet_ms_resnet",
)  # fmt: skip
_spiking = partial(
    register_model, MSResNet, input_size=(3, 224, 224), paper="2112.08954",
    verdict_released="additive", verdict_repaired="additive", unpublished=OUR_SHAPE, recipe="imagenet_ms_resnet",
)  # fmt: skip
_DEEPEST = "the abstract gives 104 layers alone"


@_register(params=11_693_736, unpublished=_DEEPEST)
def ms_resnet18() -> dict[str, Any]:
    """Two blocks a stage."""
    return {"depths": (2, 2, 2, 2)}


@_register(params=21_801_896, unpublished=_DEEPEST)
def ms_resnet34() -> dict[str, Any]:
    """3, 4, 6 and 3 blocks."""
    return {"depths": (3, 4, 6, 3)}


@_spiking(params=11_693_736)
def ms_resnet_spiking18() -> dict[str, Any]:
    """The 18-layer shape with shortcuts that read spikes."""
    return {"depths": (2, 2, 2, 2), "spiking_shortcut": True}


@_spiking(params=21_801_896)
def ms_resnet_spiking34() -> dict[str, Any]:
    """The 34-layer shape with shortcuts that read spikes."""
    return {"depths": (3, 4, 6, 3), "spiking_shortcut": True}


@_register(
    params=77_350_504,
    published={"imagenet1k_top1": 76.02, "source": "abstract of arXiv 2112.08954, resolution not stated there"},
)  # fmt: skip
def ms_resnet104() -> dict[str, Any]:
    """3, 8, 32 and 8 blocks behind three convolutions, with averages in the shortcuts."""
    return {"depths": (3, 8, 32, 8), "deep_stem": True, "pool_shortcut": True, "dropout": 0.2}
