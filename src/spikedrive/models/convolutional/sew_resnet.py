"""SEW ResNet: residual blocks that join spikes with spikes, element by element.

*Source*: "Deep Residual Learning in Spiking Neural Networks", arXiv 2102.04159 (NeurIPS 2021); code
fangwei123456/Spike-Element-Wise-ResNet, commit cfc547c5, MPL-2.0 (written here from its description; `remap` reads
the layout of its checkpoints, and that of the same network in SpikingJelly).

*Where we differ*: the surrogate is the neuron's own (the original takes SpikingJelly's arctangent); widths, depths
and the stem are arguments.

*Expected*: the cards hold the best test accuracy in the original's training logs; nothing but `sew_resnet_nano` was
trained here.

With `connect="add"` a block's output is a sum of spikes, 0..2 after the first block and one more after each further
one of a stage. What follows adds a weight as often as the sum says: additive, but in integers and not in spikes.
"and" and "iand" keep binary values binary, and gate.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from spikedrive.blocks import (
    ClassifyHead,
    Connect,
    ConvBN,
    EveryStep,
    Init,
    InputKind,
    NeuronLike,
    SEWShortcut,
    SpikingModel,
    check_init,
    make_neuron,
    pyramid_features,
    spread_over_levels,
)
from spikedrive.errors import ConfigError
from spikedrive.models._registry import OUR_SHAPE, register_model


class _Block(nn.Module):
    """Convolutions with a neuron behind each; the last one's spikes join those that the block started from."""

    def __init__(
        self, in_channels: int, width: int, *, stride: int, bottleneck: int, connect: Connect, drop_path: float,
        neuron: NeuronLike,
    ) -> None:  # fmt: skip
        super().__init__()
        out_channels = width * max(1, bottleneck)
        if bottleneck:
            convs = [
                ConvBN(in_channels, width), ConvBN(width, width, 3, stride=stride), ConvBN(width, out_channels)
            ]  # fmt: skip
        else:
            convs = [ConvBN(in_channels, width, 3, stride=stride), ConvBN(width, width, 3)]
        self.branch = _spiking(*convs, neuron=neuron)
        if stride != 1 or in_channels != out_channels:
            self.shortcut = _spiking(ConvBN(in_channels, out_channels, stride=stride), neuron=neuron)
        else:
            self.shortcut = nn.Identity()
        self.join = SEWShortcut(connect, drop_path=drop_path)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.branch(x)
        return self.join(self.shortcut(x), branch)


def _spiking(*convs: ConvBN, neuron: NeuronLike) -> nn.Sequential:
    """Convolutions with a neuron behind each."""
    return nn.Sequential(*(layer for conv in convs for layer in (EveryStep(conv), make_neuron(neuron))))


class SEWResNet(SpikingModel):
    """A stem with a neuron, stages of SEW blocks, mean over positions, one linear head.

    `widths` and `depths` name one value a stage; every stage but the first halves the resolution. `bottleneck` makes
    blocks of 1 x 1, 3 x 3 and 1 x 1 convolutions whose last is that many times wider; 0 makes those of two 3 x 3.
    `connect` is "add", "and" or "iand" (`blocks.SEWShortcut`). With `zero_init_residual` every block starts as the
    identity. `init` is the original's, or spreads membranes over the levels of integer neurons.

    *Shapes*: x (B, C, H, W), or (T, B, C, H, W) for `input="frames"` -> (B, K). `forward_features` gives the spike
    sums of each stage.
    *Multiplies*: the first convolution (pixels). The head meets sums of spikes, their mean folds into its weight.
    *Raises*: ConfigError for lists of unequal length, "iand" with neurons that emit more than 1, and other
    arguments out of range.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (64, 128, 256, 512),
        depths: Sequence[int] = (2, 2, 2, 2),
        bottleneck: int = 0,
        connect: Connect = "add",
        stem_kernel: int = 7,
        stem_pool: bool = True,
        zero_init_residual: bool = False,
        neuron: NeuronLike = "IF",
        steps: int = 4,
        classes: int = 1000,
        in_channels: int = 3,
        input: InputKind = "image",
        drop_path: float = 0.0,
        init: Init = "released",
    ) -> None:
        super().__init__(input=input, in_channels=in_channels, classes=classes, steps=steps)
        check_init(init)
        if len(widths) != len(depths) or not widths:
            raise ConfigError(
                f"SEWResNet got {len(widths)} widths and {len(depths)} depths; it takes one of each a stage. "
                "Make the lists equally long."
            )
        self.stem = _spiking(ConvBN(in_channels, widths[0], stem_kernel, stride=2), neuron=neuron)
        first = next(iter(self.neurons().values()))
        if connect == "iand" and (first.domain is None or first.domain.high != 1):
            raise ConfigError(
                f"SEWResNet got connect='iand' with {type(first).__name__}, whose output is no spike of 0 "
                "or 1; 1 - x is a gate for those alone. Use a binary neuron, or connect='add'."
            )
        if stem_pool:
            self.stem.append(EveryStep(nn.MaxPool2d(3, 2, 1)))
        outer = [width * max(1, bottleneck) for width in widths]
        block = partial(_Block, bottleneck=bottleneck, connect=connect, neuron=neuron)
        last = max(1, sum(depths) - 1)
        self.stages = nn.ModuleList()
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            before, built = outer[i - 1] if i else widths[0], sum(depths[:i])
            self.stages.append(nn.Sequential(*(
                block(outer[i] if j else before, width, stride=1 if j or not i else 2,
                      drop_path=drop_path * (built + j) / last)
                for j in range(depth)
            )))  # fmt: skip
        self.head = ClassifyHead(outer[-1], classes, neuron=None)
        _initialise(self, init, zero_init_residual, connect)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        return self.head(self.forward_features(x, [len(self.stages) - 1])[0])

    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """The joined spikes after each asked stage, (T, B, C, H, W)."""
        return pyramid_features(self.stages, self.stem(self.encode(x)), levels)


def _initialise(model: SEWResNet, init: Init, zero_residual: bool, connect: Connect) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    if init == "levels":
        spread_over_levels(model)
    if not zero_residual:
        return
    for module in model.modules():
        if isinstance(module, _Block):
            norm: Any = module.branch.get_submodule(f"{len(module.branch) - 2}.0.bn")
            nn.init.zeros_(norm.weight)
            # the identity of "and" is a branch that always fires
            nn.init.constant_(norm.bias, 1.0 if connect == "and" else 0.0)


_NAMES = (
    (r"^(conv|bn)1\.", r"stem.0.0.\1."), (r"^sn1", "stem.1"), (r"^fc\.", "head.linear."),
    (r"^layer(\d)", lambda m: f"stages.{int(m[1]) - 1}"),
    # the original and SpikingJelly 0.0.0.0.12 hold a convolution and its normalisation in one container
    (r"downsample\.0\.(?:module\.)?0\.", "shortcut.0.0.conv."),
    (r"downsample\.0\.(?:module\.)?1\.", "shortcut.0.0.bn."),
    (r"downsample\.1(?=$|\.w$)", "shortcut.1"),
    (r"(?<=\d\.)conv(\d)\.(?:module\.)?0\.", lambda m: f"branch.{2 * int(m[1]) - 2}.0.conv."),
    (r"(?<=\d\.)conv(\d)\.(?:module\.)?1\.", lambda m: f"branch.{2 * int(m[1]) - 2}.0.bn."),
    # SpikingJelly since 0.0.0.0.13 holds them side by side
    (r"downsample\.0\.", "shortcut.0.0.conv."), (r"downsample\.1\.", "shortcut.0.0.bn."),
    (r"downsample\.2", "shortcut.1"),
    (r"(?<=\d\.)(conv|bn)(\d)\.", lambda m: f"branch.{2 * int(m[2]) - 2}.0.{m[1]}."),
    (r"(?<=\d\.)sn(\d)", lambda m: f"branch.{2 * int(m[1]) - 1}"),
)  # fmt: skip


def rename(key: str) -> str:
    """Our name for a parameter or a neuron of the published code.

    >>> rename("layer1.0.conv2.module.1.weight"), rename("layer2.0.downsample.1")
    ('stages.0.0.branch.2.0.bn.weight', 'stages.1.0.shortcut.1')
    """
    for pattern, ours in _NAMES:
        key = re.sub(pattern, ours, key)
    return key


def remap(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published layouts in our names."""
    return {rename(key): value for key, value in state_dict.items()}


def _published(top1: float) -> dict[str, float | str]:
    source = "best test_acc1 in origin_logs/imagenet of fangwei123456/Spike-Element-Wise-ResNet, ADD, T = 4"
    return {"imagenet1k_top1": top1, "source": source}


_register = partial(
    register_model, SEWResNet, paper="2102.04159", verdict_released="additive", verdict_repaired="additive"
)
_imagenet = partial(
    _register, input_size=(3, 224, 224), remap=remap, licence="MPL-2.0", params_derived=True,
    recipe="imagenet_sew_resnet",
)  # fmt: skip


@_imagenet(params=11_689_512, published=_published(63.18))
def sew_resnet18() -> dict[str, Any]:
    """Two blocks a stage."""
    return {"depths": (2, 2, 2, 2)}


@_imagenet(params=21_797_672, published=_published(67.04))
def sew_resnet34() -> dict[str, Any]:
    """3, 4, 6 and 3 blocks."""
    return {"depths": (3, 4, 6, 3)}


@_imagenet(params=25_557_032, published=_published(67.78))
def sew_resnet50() -> dict[str, Any]:
    """3, 4, 6 and 3 bottlenecks."""
    return {"depths": (3, 4, 6, 3), "bottleneck": 4}


@_imagenet(params=44_549_160, published=_published(68.76))
def sew_resnet101() -> dict[str, Any]:
    """3, 4, 23 and 3 bottlenecks."""
    return {"depths": (3, 4, 23, 3), "bottleneck": 4}


@_imagenet(params=60_192_808, published=_published(69.26))
def sew_resnet152() -> dict[str, Any]:
    """3, 8, 36 and 3 bottlenecks."""
    return {"depths": (3, 8, 36, 3), "bottleneck": 4}


@_register(params=603_498, input_size=(1, 28, 28), levels=4, unpublished=OUR_SHAPE, recipe="fashion_mnist")
def sew_resnet_nano() -> dict[str, Any]:
    """Three stages for 28 x 28 pictures, with integers 0..4 in one step."""
    return {
        "widths": (32, 64, 128), "depths": (1, 1, 2), "stem_kernel": 3, "stem_pool": False,
        "neuron": {"name": "ILIF", "levels": 4}, "steps": 1, "classes": 10, "in_channels": 1, "init": "levels",
    }  # fmt: skip
