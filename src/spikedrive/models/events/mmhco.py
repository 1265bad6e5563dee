"""MMHCO: pictures and events of one scene, each a plate on which heat spreads, and which meet in every block.

*Source*: "Human Activity Recognition using RGB-Event based Sensors: A Multi-modal Heat Conduction Model and A Benchmark
Dataset" (arXiv 2504.05830); code Event-AHU/HARDVS, branch HARDVSv2, commit 6dd8c648, on top of vHeat (arXiv 2405.16555,
MzeroMiko/vHeat); written here from their description.

From the paper and its code: the stem, which both cameras share; blocks of heat conduction and a two-layer mixer with
LayerNorm at the end of each branch; one table of frequency embeddings a camera, made coarser from stage to stage; three
ways in which the cameras meet, one of which is chosen for each frame; a head whose answers are averaged over frames and
cameras. A frame never sees another one.

*Where we differ*: tables are learned (there noise overwrites what they are multiplied by, and no gradient reaches
them); after training the likeliest way is taken instead of a drawn one; events of two polarities get an empty third
channel, so that one stem serves both cameras (there events are coloured pictures); one camera alone is vHeat with such
tables. `neuron`, `route="soft"`, `mixer="none"` and `activation="relu"` are ours.

*Expected*: published figures stand in the card; nothing was trained here at that size.

- `mmhco`: 300 classes of HARDVS 2.0, 8 pictures and 8 pictures of events of 224 x 224.
- `mmhco_nano`: our shape, 4 frames of 32 x 32, three channels of colour and two of polarity.
- `mmhco_spiking_nano`: the same with spikes in the place of every activation.

All are hybrid: heat conduction multiplies real numbers by fixed matrices (`ops.heat.products` counts how many),
whatever the neurons are. A frame is answered by itself: they stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks import (
    ConvBN,
    Dropout,
    DropPath,
    EveryStep,
    FrequencyTables,
    HeatMixer,
    InputKind,
    MapNorm,
    MeanOverTime,
    NeuronLike,
    Route,
    SpikingModel,
    make_neuron,
    select_levels,
)
from spikedrive.errors import ConfigError, unknown_name
from spikedrive.models._registry import OUR_SHAPE, register_model
from spikedrive.neurons import Neuron

Camera = Literal["rgb", "events"]
Activation = Literal["gelu", "relu"]
COLOURS = 3


def _activate(activation: Activation, neuron: NeuronLike | None) -> nn.Module:
    if neuron is not None:
        return make_neuron(neuron)
    return nn.GELU() if activation == "gelu" else nn.ReLU()


class _Block(nn.Module):
    """Heat conduction, then a two-layer mixer; each branch ends in LayerNorm and a learned gain a channel."""

    def __init__(
        self, width: int, mixer: HeatMixer, activation: nn.Module, mlp_ratio: float, layer_scale: float, rate: float
    ) -> None:  # fmt: skip
        super().__init__()
        hidden = int(width * mlp_ratio)
        # real activations take what comes, neurons need it near their threshold
        first = (
            ConvBN(width, hidden, bias=True)
            if isinstance(activation, Neuron)
            else nn.Conv2d(width, hidden, 1)
        )
        self.mixer, self.mixer_norm = mixer, MapNorm(width)
        self.mlp = nn.Sequential(EveryStep(first), activation, EveryStep(nn.Conv2d(hidden, width, 1)))
        self.mlp_norm = MapNorm(width)
        self.mixer_gain, self.mlp_gain = (
            nn.Parameter(torch.full((width, 1, 1), float(layer_scale))) for _ in range(2)
        )
        self.drop_path = DropPath(rate)

    def forward(self, x: Tensor, tables: Sequence[Tensor]) -> Tensor:
        x = x + self.drop_path(self.mixer_gain * self.mixer_norm(self.mixer(x, tables)))
        return x + self.drop_path(self.mlp_gain * self.mlp_norm(self.mlp(x)))


class _Stage(nn.Module):
    """What makes the map smaller, then blocks that share one table a camera."""

    def __init__(self, downsample: nn.Module, blocks: Sequence[_Block]) -> None:
        super().__init__()
        self.downsample, self.blocks = downsample, nn.ModuleList(blocks)

    def forward(self, x: Tensor, tables: Sequence[Tensor]) -> Tensor:
        x = self.downsample(x)
        for block in self.blocks:
            x = block(x, tables)
        return x


class _Head(nn.Module):
    """LayerNorm, mean over places and cameras, linear layer, mean over frames."""

    def __init__(self, channels: int, classes: int, cameras: int, dropout: float) -> None:
        super().__init__()
        self.cameras = cameras
        self.norm = nn.LayerNorm(channels)
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(channels, classes)
        self.readout = MeanOverTime()

    def forward(self, x: Tensor) -> Tensor:
        each = x.unflatten(2, (self.cameras, -1)).movedim(3, -1)
        return self.readout(self.linear(self.dropout(self.norm(each).mean((2, 3, 4)))))


class MMHCO(SpikingModel):
    """Stages of heat conduction on the frames of one camera or two, which meet in every block.

    `inputs` are the cameras, in the order of their channels: three colours for "rgb", `event_channels` for "events" (2
    polarities, or 3 of a picture). `image_size` is that of the frames, (height, width) or one number, which the tables
    of frequencies are made for; the map of the first stage is a quarter of it. `widths` and `depths` name one value a
    stage. `mixer` is a name of `blocks.mixers.TOKEN_MIXERS`. A `neuron` takes the place of every activation and of
    SiLU in the gates, with BatchNorm in front of it.

    *Shapes*: x (T, B, C, H, W), any T, or (B, C, H, W) for `input="image"`, C the channels of all cameras -> (B, K).
    `forward_features` gives the map after each asked stage, (T, B, C, H, W), the channels of the cameras side by side.
    *Multiplies*: everything: the network is hybrid.
    *Raises*: ConfigError for lists of unequal length, cameras that are none, and other arguments out of range;
    ShapeError for frames of another size.
    """

    def __init__(
        self,
        *,
        inputs: Sequence[Camera] = ("rgb", "events"),
        event_channels: int = 3,
        image_size: int | tuple[int, int] = 224,
        widths: Sequence[int] = (96, 192, 384, 768),
        depths: Sequence[int] = (2, 2, 18, 2),
        mlp_ratio: float = 4.0,
        layer_scale: float = 1e-5,
        mixer: str = "heat",
        route: Route = "hard",
        policy: tuple[int, int] = (256, 32),
        activation: Activation = "gelu",
        neuron: NeuronLike | None = None,
        drop_path: float = 0.2,
        dropout: float = 0.5,
        steps: int = 8,
        classes: int = 300,
        input: InputKind = "frames",
    ) -> None:
        _check(inputs, event_channels, activation, widths, depths)
        channels = tuple(COLOURS if camera == "rgb" else event_channels for camera in inputs)
        super().__init__(input=input, in_channels=sum(channels), classes=classes, steps=steps)
        self.inputs, self.channels, cameras = tuple(inputs), channels, len(inputs)
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        # two convolutions of stride 2
        size = (-(-height // 4), -(-width // 4))
        self.tables = nn.ModuleList(FrequencyTables(size, widths) for _ in inputs)
        half = widths[0] // 2
        stem = nn.Sequential(
            EveryStep(nn.Conv2d(max(channels), half, 3, 2, 1)), MapNorm(half), _activate(activation, neuron),
            EveryStep(nn.Conv2d(half, widths[0], 3, 2, 1)), MapNorm(widths[0]),
        )  # fmt: skip
        down = [stem, *(_smaller(a, b) for a, b in pairwise(widths))]
        rates = iter([drop_path * i / max(1, sum(depths) - 1) for i in range(sum(depths))])
        self.stages = nn.ModuleList(
            _Stage(
                downsample,
                [
                    _Block(
                        w, HeatMixer(w, cameras=cameras, mixer=mixer, route=route, policy=policy, neuron=neuron),
                        _activate(activation, neuron), mlp_ratio, layer_scale, next(rates),
                    )
                    for _ in range(depth)
                ],
            )
            for downsample, w, depth in zip(down, widths, depths, strict=True)
        )  # fmt: skip
        self.head = _Head(widths[-1], classes, cameras, dropout)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        return self.head(self.forward_features(x, [len(self.stages) - 1])[0])

    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """The maps after each asked stage, (T, B, C, H, W)."""
        chosen = select_levels(levels, len(self.stages))
        parts = self.encode(x).split(self.channels, 2)
        most = max(self.channels)
        # the frames of the second camera behind those of the first, as more samples of one batch
        x = torch.cat([F.pad(part, (0, 0, 0, 0, 0, most - part.shape[2])) for part in parts], 1)
        tables = list(zip(*(table() for table in self.tables), strict=True))
        features = []
        for level, stage in enumerate(self.stages[: chosen[-1] + 1]):
            x = stage(x, tables[level])
            if level in chosen:
                features.append(torch.cat(x.unflatten(1, (len(self.inputs), -1)).unbind(1), 2))
        return features


def _smaller(in_channels: int, width: int) -> nn.Module:
    return nn.Sequential(EveryStep(nn.Conv2d(in_channels, width, 3, 2, 1, bias=False)), MapNorm(width))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


def _check(
    inputs: Sequence[str], event_channels: int, activation: str, widths: Sequence[int], depths: Sequence[int]
) -> None:
    cameras = get_args(Camera)
    if isinstance(inputs, str) or not inputs or len(set(inputs)) < len(inputs):
        raise ConfigError(
            f"MMHCO got inputs={inputs!r}; it takes one or both of {', '.join(cameras)}, each once. Use "
            'inputs=["rgb", "events"].'
        )
    for camera in inputs:
        if camera not in cameras:
            raise unknown_name("camera", camera, cameras)
    if activation not in get_args(Activation):
        raise unknown_name("activation", activation, get_args(Activation))
    if event_channels not in (2, 3):
        raise ConfigError(
            f"MMHCO got event_channels={event_channels}; it takes 2 for polarities, or 3 for pictures of events. "
            "Change event_channels."
        )
    if not widths or len(widths) != len(depths):
        raise ConfigError(
            f"MMHCO got {len(widths)} widths and {len(depths)} depths; it takes one of each a stage. Make the lists "
            "equally long."
        )


_register = partial(
    register_model, MMHCO, modality="events", paper="2504.05830", licence="none stated by the original",
    verdict_released="hybrid", verdict_repaired="hybrid",
)  # fmt: skip


@_register(
    params=76_980_468,
    params_released=76_980_468,
    input_size=(6, 224, 224),
    published={"hardvs2_top1": 53.2, "source": "arXiv 2504.05830, its table for HARDVS 2.0"},
)
def mmhco() -> dict[str, Any]:
    """Widths 96 to 768, depths 2, 2, 18, 2, for the 300 activities of HARDVS 2.0."""
    return {}


_NANO = {
    "event_channels": 2, "image_size": 32, "widths": (24, 48), "depths": (1, 2), "mlp_ratio": 2, "layer_scale": 0.5,
    "route": "soft", "policy": (32, 16), "drop_path": 0.0, "dropout": 0.1, "steps": 4, "classes": 12,
}  # fmt: skip
_nano = partial(_register, input_size=(5, 32, 32), unpublished=OUR_SHAPE)


@_nano(params=110_061)
def mmhco_nano() -> dict[str, Any]:
    """Every part of the family for 4 frames of 32 x 32, in colour and in 2 polarities."""
    return _NANO


@_nano(params=110_781)
def mmhco_spiking_nano() -> dict[str, Any]:
    """The nano shape with spikes in the place of every activation."""
    return {**_NANO, "neuron": "LIF"}
