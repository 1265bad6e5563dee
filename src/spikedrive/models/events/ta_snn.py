"""TA-SNN: spiking convolutions for event cameras that score each frame, and drop those that say least.

*Source*: "Temporal-wise Attention Spiking Neural Networks for Event Streams Classification" (ICCV 2021), arXiv
2107.11711; code BICLab/TA-SNN, commit b2051c9d (written here from its description).

*Where we differ*: sequences come as (T, B, C, H, W), the original takes them batch first; maps of another size than
8 x 8 are averaged to it; between two layers dropout acts once. The neuron resets to its threshold, as the released code
does; `neuron="AttentionLIF"` resets to zero.

*Expected*: nothing was trained here. `ta_snn_gesture` has the published net, whose code trains on 30 steps too
(`steps=30`); `ta_snn_nano` is our shape, for event frames of 34 x 34 and 64 x 64.

Attention weighs the steps of a whole clip against each other, in front of every neuron: nothing here streams, and
dropping is not causal. It saves work on a recorded clip: every frame passes the first convolution, which its score
is read from, and the dropped ones pass nothing else.

The network is hybrid: attention multiplies potentials by scores that depend on the input, and the neurons leak 0.3 a
step, which is no shift. `attention=False, neuron="LIF"` is the plain network with a leak of one half, and additive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.blocks import (
    Attended,
    Dropout,
    InputKind,
    MeanOverTime,
    NeuronLike,
    SpikingModel,
    attended_conv,
    select_levels,
)
from spikedrive.blocks.readout import as_positions, flat_positions
from spikedrive.errors import ConfigError
from spikedrive.models._registry import OUR_SHAPE, register_model
from spikedrive.neurons import TemporalAttention
from spikedrive.neurons.neuron import check_number

RESETS_TO_THRESHOLD: dict[str, Any] = {"name": "AttentionLIF", "reset_value": 0.3}
"""The neuron as the released code has it."""


@dataclass(frozen=True, eq=False)
class KeptFrames:
    """The answer without the frames that were dropped, and which were kept.

    *Shapes*: logits (B, K); kept (T, B), booleans.
    """

    logits: Tensor
    kept: Tensor

    @property
    def dropped(self) -> Tensor:
        """How many frames each sample lost, (B,)."""
        return (~self.kept).sum(0)


class AttendedHead(nn.Module):
    """Linear layers, each with attention and a neuron behind it, and the mean over T: firing rates.

    *Shapes*: x (T, B, C, H, W), spikes -> (B, K); maps of another size than `size` are averaged to it.
    """

    def __init__(
        self, channels: int, classes: int, *, size: int | tuple[int, int], hidden: Sequence[int],
        attention: Callable[[], nn.Module], neuron: NeuronLike, dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.size = as_positions(size)
        widths = (channels * self.size[0] * self.size[1], *hidden, classes)
        self.layers = nn.ModuleList(
            Attended(nn.Linear(a, b), attention(), neuron) for a, b in pairwise(widths)
        )
        self.dropout = Dropout(dropout)
        self.readout = MeanOverTime()

    def forward(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """Firing rates (B, K)."""
        x = flat_positions(x, self.size)
        for i, layer in enumerate(self.layers):
            x = _weighed(layer, self.dropout(x) if i else x, kept)
        return self.readout(x)


class TaSNN(SpikingModel):
    """Stages of convolution, average, attention and neuron, then linear layers alike, that answer in spikes.

    `widths` and `pools` name one value a stage; `size` is the map that the linear layers were made for. `reduction` is
    that of `TemporalAttention`, whose layers over time fix the number of steps to `steps`.

    *Shapes*: x (T, B, C, H, W) with T = steps, or (B, C, H, W) for `input="image"` -> (B, K), the firing rates of
    the last layer. `forward_features` gives the spikes of each stage.
    *Multiplies*: the first convolution, every potential in front of a neuron (attention), and the neurons' leak.
    *Raises*: ConfigError for lists of unequal length and other arguments out of range; ShapeError for another
    number of steps, unless `attention=False`.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (64, 128, 128),
        pools: Sequence[int] = (1, 2, 2),
        size: int | tuple[int, int] = 8,
        hidden: Sequence[int] = (256,),
        attention: bool = True,
        reduction: int = 16,
        dropout: float = 0.1,
        neuron: NeuronLike = RESETS_TO_THRESHOLD,
        steps: int = 60,
        classes: int = 11,
        in_channels: int = 2,
        input: InputKind = "frames",
    ) -> None:
        super().__init__(input=input, in_channels=in_channels, classes=classes, steps=steps)
        if len(widths) != len(pools) or not widths:
            raise ConfigError(
                f"TaSNN got {len(widths)} widths and {len(pools)} pools; it takes one of each a stage. "
                "Make the lists equally long."
            )

        def weigh() -> nn.Module:
            return TemporalAttention(steps, reduction) if attention else nn.Identity()

        self.stages = nn.ModuleList(
            attended_conv(before, width, pool=pool, attention=weigh(), neuron=neuron)
            for before, width, pool in zip((in_channels, *widths), widths, pools, strict=False)
        )
        self.dropout = Dropout(dropout)
        self.head = AttendedHead(
            widths[-1], classes, size=size, hidden=hidden, attention=weigh, neuron=neuron, dropout=dropout
        )

    def forward(self, x: Tensor) -> Tensor:
        """Firing rates (B, K)."""
        return self.head(self.dropout(self.forward_features(x, [len(self.stages) - 1])[0]))

    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """The spikes after each asked stage, (T, B, C, H, W)."""
        chosen = select_levels(levels, len(self.stages))
        x = self.encode(x)
        features = []
        for level, stage in enumerate(self.stages[: chosen[-1] + 1]):
            x = stage(self._thinned(level, x))
            if level in chosen:
                features.append(x)
        return features

    def scores(self, x: Tensor) -> Tensor:
        """What the first attention makes of each frame, 0..1, (T, B).

        *Raises*: ConfigError for a model without attention.
        """
        first = self._first_attention()
        return first.scores(self.stages[0].get_submodule("project")(self.encode(x)))

    @torch.no_grad()
    def drop_frames(self, x: Tensor, threshold: float = 0.5) -> KeptFrames:
        """The answer from the frames that the first attention scores with at least `threshold`.

        A dropped frame passes the first convolution and nothing else: no neuron takes a step, later attention sees
        zeros in its place, and the answer is the mean over the frames that are left, or zero where none is. Each sample
        loses its own, and is computed by itself. With a threshold of 0 it is the model's answer.

        *Shapes*: x as the model takes it.
        *Units*: the threshold is a score, 0..1.
        *Raises*: ConfigError for a threshold outside 0..1, or a model without attention.
        """
        check_number("drop_frames", "threshold", threshold, low=0, high=1)
        first, x = self._first_attention(), self.encode(x)
        seen = self.stages[0].get_submodule("project")(x)
        scores = first.scores(seen)
        kept = scores >= threshold
        logits = [
            self._answer(seen[steps, i : i + 1], scores[steps, i], steps)
            for i, steps in enumerate(kept[:, i].nonzero()[:, 0] for i in range(kept.shape[1]))
        ]
        return KeptFrames(torch.cat(logits) if logits else seen.new_zeros(0, self.classes), kept)

    def _answer(self, seen: Tensor, scores: Tensor, kept: Tensor) -> Tensor:
        """Logits (1, K) of one sample's kept steps, behind the first convolution."""
        if not len(kept):
            return seen.new_zeros(1, self.classes)
        first, *stages = self.stages
        x = first.get_submodule("neuron")(seen * scores.view(-1, 1, 1, 1, 1))
        for level, stage in enumerate(stages, 1):
            x = _weighed(stage, self._thinned(level, x), kept)
        return self.head(self.dropout(x), kept)

    def _thinned(self, level: int, x: Tensor) -> Tensor:
        # the original drops in front of its last convolution and of every linear layer
        return self.dropout(x) if 0 < level == len(self.stages) - 1 else x

    def _first_attention(self) -> TemporalAttention:
        first = self.stages[0].get_submodule("attention")
        if not isinstance(first, TemporalAttention):
            raise ConfigError(
                f"{self.card.name if self.card else 'TaSNN'} was built with attention=False, and scores no frames; "
                "dropping them takes a model with attention. Build it with attention=True."
            )
        return first


def _weighed(layer: nn.Module, x: Tensor, kept: Tensor | None) -> Tensor:
    """The layer's spikes; where only the steps `kept` are left its attention is told which."""
    assert isinstance(layer, Attended)
    if kept is None:
        return layer(x)
    attention = layer.attention
    assert isinstance(attention, TemporalAttention)
    return layer.neuron(attention.weigh_kept(layer.project(x), kept))


@register_model(
    TaSNN, params=2_325_646, input_size=(2, 32, 32), modality="events", paper="2107.11711", params_derived=True,
    licence="none stated by the original", verdict_released="hybrid", verdict_repaired="hybrid",
    unpublished="the tables of the paper could not be read here",
)  # fmt: skip
def ta_snn_gesture() -> dict[str, Any]:
    """Three convolutions for DVS128 Gesture, 60 frames of 2 polarities."""
    return {"widths": (64, 128, 128)}


@register_model(
    TaSNN, params=156_534, input_size=(2, 34, 34), modality="events", paper="2107.11711",
    verdict_released="hybrid", verdict_repaired="hybrid", unpublished=OUR_SHAPE,
)  # fmt: skip
def ta_snn_nano() -> dict[str, Any]:
    """Three small convolutions for 8 event frames of 34 x 34 or 64 x 64."""
    return {
        "widths": (16, 32, 64), "pools": (2, 2, 2), "size": 4, "hidden": (128,), "reduction": 2, "steps": 8,
        "classes": 10,
    }  # fmt: skip
