"""Spiking VGG: plain 3 x 3 convolutions, maxima between them, three linear layers.

*Source*: "Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv 1409.1556, with neurons for its
rectifiers; the layout is that of SpikingJelly's spiking_vgg and of torchvision's vgg, from which its weights come
(written here from their description; `remap` reads both, with BatchNorm and without).

*Where we differ*: BatchNorm is the default, without which a spiking network of this depth stays silent; the neuron,
which SpikingJelly leaves open, is LIF.

*Expected*: no accuracy was published for these spiking networks; nothing was trained here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from spikedrive.blocks import (
    ConvBN,
    EveryStep,
    FlatHead,
    Init,
    InputKind,
    NeuronLike,
    SpikingModel,
    check_init,
    make_neuron,
    pyramid_features,
    spread_over_levels,
)
from spikedrive.errors import ConfigError, ShapeError
from spikedrive.models._registry import OUR_SHAPE, register_model


def _stage(widths: Sequence[int], *, batch_norm: bool, neuron: NeuronLike) -> nn.Sequential:
    """Convolutions with a neuron behind each, and a 2 x 2 maximum."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        conv = ConvBN(a, b, 3, bias=True) if batch_norm else nn.Conv2d(a, b, 3, padding=1)
        layers += [EveryStep(conv), make_neuron(neuron)]
    return nn.Sequential(*layers, EveryStep(nn.MaxPool2d(2)))


class SpikingVGG(SpikingModel):
    """Stages of convolutions, each halving the resolution, and linear layers over all positions.

    `widths` holds the widths of the convolutions of each stage. The last map is averaged to `pooled` x `pooled`
    positions where it has others, and goes through `hidden` layers with neurons; `dropout` acts behind those.

    *Shapes*: x (B, C, H, W), or (T, B, C, H, W) for `input="frames"` -> (B, K); H and W at least 2^stages.
    `forward_features` gives the spikes of each stage.
    *Multiplies*: the first convolution (pixels). Everything else meets spikes.
    *Raises*: ShapeError for smaller inputs; ConfigError for no stages and other arguments out of range.
    """

    def __init__(
        self,
        *,
        widths: Sequence[Sequence[int]],
        pooled: int = 7,
        hidden: Sequence[int] = (4096, 4096),
        batch_norm: bool = True,
        dropout: float = 0.5,
        neuron: NeuronLike = "LIF",
        steps: int = 4,
        classes: int = 1000,
        in_channels: int = 3,
        input: InputKind = "image",
        init: Init = "released",
    ) -> None:
        super().__init__(input=input, in_channels=in_channels, classes=classes, steps=steps)
        check_init(init)
        if not widths or not all(widths):
            raise ConfigError(
                f"SpikingVGG got widths={widths}; it takes the widths of at least one convolution a stage. "
                "Write them as ((64,), (128,))."
            )
        self.stages = nn.ModuleList()
        before = in_channels
        for stage in widths:
            self.stages.append(_stage((before, *stage), batch_norm=batch_norm, neuron=neuron))
            before = stage[-1]
        self.head = FlatHead(before, classes, size=pooled, hidden=hidden, neuron=neuron, dropout=dropout)
        _initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        return self.head(self.forward_features(x, [len(self.stages) - 1])[0])

    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """The spikes after each asked stage, (T, B, C, H, W)."""
        x, least = self.encode(x), 2 ** len(self.stages)
        if min(x.shape[-2:]) < least:
            raise ShapeError(
                f"SpikingVGG got an input of shape {tuple(x.shape)}; it takes at least {least} x {least} pixels, "
                f"which {len(self.stages)} stages halve. Resize it, or leave out stages."
            )
        return pyramid_features(self.stages, x, levels)


def _initialise(model: SpikingVGG, init: Init) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear) and init == "released":
            nn.init.normal_(module.weight, 0, 0.01)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if init == "levels":
        spread_over_levels(model)


def remap(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published layout in our names: layers are numbered there, maxima and neurons included.

    A maximum is one more place between two convolutions, which is how stages are told apart.
    """
    norms = {int(m[1]) for key in state_dict if (m := re.match(r"features\.(\d+)\.running_", key))}
    layers = {int(m[1]) for key in state_dict if (m := re.match(r"features\.(\d+)\.(weight|bias)$", key))}
    convs = sorted({i - 1 for i in norms} if norms else layers)
    apart = 3 if norms else 2
    places: dict[int, str] = {}
    stage = number = 0
    for here, behind in pairwise([*convs, -1]):
        places[here] = f"stages.{stage}.{number}.0" + (".conv" if norms else "")
        if norms:
            places[here + 1] = f"stages.{stage}.{number}.0.bn"
        places[here + apart - 1] = f"stages.{stage}.{number + 1}"
        stage, number = (stage + 1, 0) if behind - here > apart else (stage, number + 2)
    return {_rename(key, places): value for key, value in state_dict.items()}


def _rename(key: str, places: dict[int, str]) -> str:
    if match := re.match(r"features\.(\d+)\.(.*)", key):
        return f"{places[int(match[1])]}.{match[2]}" if int(match[1]) in places else key
    if match := re.match(r"classifier\.([03])\.(.*)", key):
        return f"head.hidden.{int(match[1]) // 3}.{match[2]}"
    if match := re.match(r"classifier\.([14])\.(.*)", key):
        return f"head.neurons.{int(match[1]) // 3}.{match[2]}"
    return re.sub(r"^classifier\.6\.", "head.linear.", key)


_register = partial(
    register_model, SpikingVGG, paper="1409.1556", verdict_released="additive", verdict_repaired="additive"
)
_imagenet = partial(
    _register, input_size=(3, 224, 224), remap=remap, params_derived=True,
    unpublished="VGG was published as an artificial network; no spiking figure goes with the released layout",
    recipe="imagenet_spiking_vgg",
)  # fmt: skip


@_imagenet(params=132_868_840)
def spiking_vgg11() -> dict[str, Any]:
    """8 convolutions (configuration A)."""
    return {"widths": ((64,), (128,), (256, 256), (512, 512), (512, 512))}


@_imagenet(params=138_365_992)
def spiking_vgg16() -> dict[str, Any]:
    """13 convolutions (configuration D)."""
    return {"widths": ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))}


@_register(params=389_834, input_size=(1, 28, 28), levels=4, unpublished=OUR_SHAPE, recipe="fashion_mnist")
def spiking_vgg_nano() -> dict[str, Any]:
    """Four convolutions for 28 x 28 pictures, with integers 0..4 in one step."""
    return {
        "widths": ((32,), (64,), (128, 128)), "pooled": 3, "hidden": (128,), "dropout": 0.0,
        "neuron": {"name": "ILIF", "levels": 4}, "steps": 1, "classes": 10, "in_channels": 1, "init": "levels",
    }  # fmt: skip
