"""Optical flow at every step of an event stream: a spiking U-Net, its LSTM twin and a network without memory.

*Source*: "Optical flow estimation from event-based cameras and spiking neural networks" (Cuadrado et al., Front.
Neurosci. 2023), whose code has a U-Net that predicts flow at several scales, each added to the coarser ones;
"Event-based Temporally Dense Optical Flow Estimation with Sequential Neural Networks" (arXiv 2210.01244), which answers
at every step of a stream and compares spiking cells with LSTM cells. Neither's code was used.

*Where we differ*: the first source convolves over a window of 21 frames in time and forgets between windows; here the
memory is that of the cells, so that every slice has an answer and a stream goes on. Convolutions are 3 x 3 (5 x 5 in
front), not separable 7 x 7; BatchNorm stands in the place of a fixed gain; a prediction is averaged over past steps,
and the coarser flow is added to it as a real number and not in a neuron without threshold.

*Expected*: the published error of the first (AEE 1.7 pixels on DSEC) is not that of these networks; `python
benchmarks/event_flow.py` measures `event_flow_nano` and its twins on simulated textures.

- `event_flow_dsec`: 640 x 480, widths as the first source has them up to 256.
- `event_flow_nano`: 64 x 64 or any other size.

All stream. With `cell="snn"` it is additive as it trains: concatenation moves spikes, and what is averaged and added at
the end are sums of weights, by shifts. The LSTM multiplies everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from spikedrive.blocks import (
    ConvBN,
    EveryStep,
    InputKind,
    LeakyMean,
    NeuronLike,
    SpikingModel,
    enlarge_to,
    make_neuron,
    select_levels,
)
from spikedrive.errors import ConfigError, unknown_name
from spikedrive.models._registry import OUR_SHAPE, register_model
from spikedrive.models.events.conv_lstm import ConvLSTM

CellKind = Literal["snn", "lstm", "none"]


class EventFlow(SpikingModel):
    """An encoder that halves the map at each of `widths`, a decoder that doubles it again, and a prediction at each
    scale, added to the coarser ones.

    `cell` is what stands behind every convolution: "snn" the neuron; "lstm" ReLU, and behind the encoder's a
    convolutional LSTM too; "none" ReLU alone, so that a step knows nothing of those before it. Each
    prediction is a `LeakyMean` over the steps, whose shift is `smoothing`: 2 behind neurons unless told otherwise, and
    0, which changes nothing, elsewhere.

    *Shapes*: x (T, B, C, H, W), any T, H and W -> flow (T, B, 2, H, W), to the right and downwards. `forward_features`
    gives what the decoder has at each scale, finest first, the coarsest being the encoder's last.
    *Units*: counts of events; flow in pixels of the input from the beginning of a step to its end.
    *Multiplies*: with neurons the first convolution alone, which meets counts of events; otherwise all.
    *Raises*: ConfigError for fewer than two widths, another number of `classes` than 2; UnknownNameError for a cell.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (32, 64, 128, 256),
        cell: CellKind = "snn",
        neuron: NeuronLike = "LIF",
        smoothing: int | None = None,
        steps: int = 16,
        classes: int = 2,
        in_channels: int = 2,
        input: InputKind = "frames",
    ) -> None:
        super().__init__(input=input, in_channels=in_channels, classes=classes, steps=steps)
        if cell not in get_args(CellKind):
            raise unknown_name("cell", str(cell), get_args(CellKind))
        if len(widths) < 2 or classes != 2 or input != "frames":
            raise ConfigError(
                f"EventFlow got {len(widths)} widths, classes={classes} and input={input!r}; it takes at least two "
                "widths, two components of flow and input='frames'. Correct these."
            )

        def behind(width: int, *, memory: bool) -> nn.Module:
            if cell == "snn":
                return make_neuron(neuron)
            return nn.Sequential(nn.ReLU(), ConvLSTM(width)) if memory and cell == "lstm" else nn.ReLU()

        self.encoder_stages = nn.ModuleList(
            nn.Sequential(
                EveryStep(ConvBN(before, width, 3 if k else 5, stride=2)), behind(width, memory=True)
            )
            for k, (before, width) in enumerate(zip((in_channels, *widths), widths, strict=False))
        )
        self.decoder_stages = nn.ModuleList(
            nn.Sequential(EveryStep(ConvBN(fine + coarse, fine, 3)), behind(fine, memory=False))
            for fine, coarse in pairwise(widths)
        )
        self.predictors = nn.ModuleList(EveryStep(nn.Conv2d(width, 2, 1)) for width in widths)
        shift = (2 if cell == "snn" else 0) if smoothing is None else smoothing
        self.smooth = nn.ModuleList(LeakyMean(shift) for _ in widths)

    def forward(self, x: Tensor) -> Tensor:
        """The flow at every step, (T, B, 2, H, W)."""
        return self.forward_scales(x)[-1]

    def forward_scales(self, x: Tensor) -> list[Tensor]:
        """The flow after the prediction of each scale, coarsest first, each (T, B, 2, H, W): the last is the answer."""
        size = x.shape[-2:]
        flow, scales = None, []
        features = self.forward_features(x)
        for level in reversed(range(len(features))):
            found = self.smooth[level](self.predictors[level](features[level]))
            flow = found if flow is None else found + enlarge_to(flow, found.shape[-2:])
            scales.append(enlarge_to(flow, size))
        return scales

    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """What is decoded at the asked scales, (T, B, C, H, W), spikes where there are neurons."""
        chosen = select_levels(levels, len(self.predictors))
        x, skips = self.encode(x), []
        for stage in self.encoder_stages:
            x = stage(x)
            skips.append(x)
        features = [x]
        for stage, skip in zip(reversed(self.decoder_stages), reversed(skips[:-1]), strict=True):
            x = stage(torch.cat([skip, enlarge_to(x, skip.shape[-2:])], 2))
            features.append(x)
        features.reverse()
        return [features[level] for level in chosen]


_register = partial(
    register_model, EventFlow, modality="events", task="flow", paper="2210.01244", verdict_released="additive",
    verdict_repaired="additive", unpublished=OUR_SHAPE,
)  # fmt: skip


@_register(params=971_656, input_size=(2, 480, 640))
def event_flow_dsec() -> dict[str, Any]:
    """Four scales for the cameras of DSEC; our shape."""
    return {"widths": (32, 64, 128, 256)}


@_register(params=58_950, input_size=(2, 64, 64))
def event_flow_nano() -> dict[str, Any]:
    """Three small scales, 16 frames of 64 x 64; our shape."""
    return {"widths": (16, 32, 64)}
