"""CSNN: a plain stack of spiking convolutions for event frames, as for the hand signs of ASL-DVS.

*Source*: spiking convolutions on ASL-DVS (24 letters, 240 x 180, arXiv 1908.06648), for which we know no public code
and no layer table: convolution, BatchNorm, leaky neuron and maximum, stage by stage, and linear layers.

*Where we differ*: the widths, pools and steps are ours. A random split of ASL-DVS has the same people on both
sides: split by person, or a high accuracy says little.

*Expected*: nothing was trained here.

- `csnn_asl`: 240 x 180, 24 letters, 10 frames of 2 polarities.
- `csnn_nano`: 34 x 34 or 64 x 64, 8 frames.

Each neuron sees what came before alone: both stream. Both are additive as they train.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from spikedrive.blocks import (
    ConvBN,
    EveryStep,
    FlatHead,
    InputKind,
    NeuronLike,
    SpikingModel,
    make_neuron,
    pyramid_features,
)
from spikedrive.errors import ConfigError
from spikedrive.models._registry import OUR_SHAPE, register_model


class CSNN(SpikingModel):
    """Stages of convolution, neuron and maximum, then linear layers with neurons behind the hidden ones.

    `widths` and `pools` (the sides of the maxima) name one value a stage, `stride` is that of the first convolution;
    `size` is the map, (height, width) or a
    number where both are equal, that the linear layers were made for: another one is averaged to it.

    *Shapes*: x (T, B, C, H, W), any T, or (B, C, H, W) for `input="image"` -> (B, K). `forward_features` gives the
    spikes of each stage.
    *Multiplies*: the first convolution only: it meets counts of events.
    *Raises*: ConfigError for lists of unequal length and other arguments out of range.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int],
        pools: Sequence[int],
        stride: int = 1,
        size: int | tuple[int, int] = 4,
        hidden: Sequence[int] = (128,),
        dropout: float = 0.1,
        neuron: NeuronLike = "LIF",
        steps: int = 10,
        classes: int = 24,
        in_channels: int = 2,
        input: InputKind = "frames",
    ) -> None:
        super().__init__(input=input, in_channels=in_channels, classes=classes, steps=steps)
        if len(widths) != len(pools) or not widths:
            raise ConfigError(
                f"CSNN got {len(widths)} widths and {len(pools)} pools; it takes one of each a stage. "
                "Make the lists equally long."
            )
        self.stages = nn.ModuleList(
            nn.Sequential(
                EveryStep(ConvBN(before, width, 3, stride=1 if k else stride)),
                make_neuron(neuron),
                EveryStep(nn.MaxPool2d(pool)),
            )
            for k, (before, width, pool) in enumerate(
                zip((in_channels, *widths), widths, pools, strict=False)
            )
        )
        self.head = FlatHead(widths[-1], classes, size=size, hidden=hidden, neuron=neuron, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        return self.head(self.forward_features(x, [len(self.stages) - 1])[0])

    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """The spikes after each asked stage, (T, B, C, H, W)."""
        return pyramid_features(self.stages, self.encode(x), levels)


_register = partial(
    register_model, CSNN, modality="events", paper="1908.06648", verdict_released="additive",
    verdict_repaired="additive", unpublished=OUR_SHAPE,
)  # fmt: skip


@_register(params=640_536, input_size=(2, 180, 240))
def csnn_asl() -> dict[str, Any]:
    """Four convolutions for ASL-DVS, 10 frames of 240 x 180 in 2 polarities; our shape."""
    return {"widths": (32, 64, 128, 128), "pools": (2, 2, 3, 5), "size": (3, 4), "hidden": (256,)}


@_register(params=156_042, input_size=(2, 34, 34))
def csnn_nano() -> dict[str, Any]:
    """Three small convolutions for 8 event frames of 34 x 34 or 64 x 64; our shape."""
    return {"widths": (16, 32, 64), "pools": (2, 2, 2), "hidden": (128,), "steps": 8, "classes": 10}
