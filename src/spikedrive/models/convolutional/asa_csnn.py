"""ASA-CSNN: three spiking convolutions for event cameras, whose potentials pass advanced spatial attention.

*Source*: "Inherent Redundancy in Spiking Neural Networks" (ICCV 2023), arXiv 2308.08227; code BICLab/ASA-SNN, commit
c68b2d02 (written here from its description; `remap` reads the layout of its checkpoints). Its architecture A.

*Where we differ*: sequences come as (T, B, C, H, W), the original takes them batch first; each sample chooses its own
important maps, where the original's choice leaks over the batch (`shared_masks=True`); the attention that every
neuron holds and never uses (39 parameters) is left out unless `as_released=True`; maps of another size than 8 x 8 are
averaged to it; between two layers dropout acts once, where the original draws two masks.

*Expected*: published accuracy stands in the card; nothing was trained here. `asa_csnn_nano` is our shape, for event
frames of 34 x 34 and 64 x 64.

The layers over time, alpha and beta say only which maps are important, by rank: no gradient reaches them, in the
original neither, so that they stay as they were drawn.

The network is hybrid: attention multiplies potentials by weights that depend on the input, and the neurons leak 0.3 a
step, which is no shift. `attention=False, neuron="LIF"` is the plain network with a leak of one half, and additive.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from spikedrive.blocks import (
    Dropout,
    FlatHead,
    InputKind,
    NeuronLike,
    SpikingModel,
    attended_conv,
    select_levels,
)
from spikedrive.errors import ConfigError
from spikedrive.models._registry import OUR_SHAPE, register_model
from spikedrive.neurons import SpatialAttention


class AsaCSNN(SpikingModel):
    """Stages of convolution, average, attention and neuron, then a hidden layer and one that answers in spikes.

    `widths` and `pools` name one value a stage; `size` is the map that the linear layers were made for. `reduction`
    and `lam` are those of `SpatialAttention`, whose layers over time fix the number of steps to `steps`.

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
        size: int = 8,
        hidden: Sequence[int] = (256,),
        attention: bool = True,
        reduction: int = 4,
        lam: float = 0.5,
        shared_masks: bool = False,
        dropout: float = 0.1,
        neuron: NeuronLike = "AttentionLIF",
        steps: int = 60,
        classes: int = 11,
        in_channels: int = 2,
        input: InputKind = "frames",
        as_released: bool = False,
    ) -> None:
        super().__init__(input=input, in_channels=in_channels, classes=classes, steps=steps)
        if len(widths) != len(pools) or not widths:
            raise ConfigError(
                f"AsaCSNN got {len(widths)} widths and {len(pools)} pools; it takes one of each a stage. "
                "Make the lists equally long."
            )
        self.stages = nn.ModuleList()
        for i, (width, pool) in enumerate(zip(widths, pools, strict=True)):
            maps = (
                SpatialAttention(steps, width, reduction=reduction, lam=lam, shared_masks=shared_masks)
                if attention
                else None
            )
            stage = attended_conv(
                widths[i - 1] if i else in_channels, width, pool=pool, attention=maps, neuron=neuron
            )
            if as_released and attention:
                stage.unused = SpatialAttention(1, width, reduction=1)
            self.stages.append(stage)
        self.dropout = Dropout(dropout)
        self.head = FlatHead(
            widths[-1], classes, size=size, hidden=hidden, neuron=neuron, dropout=dropout, neuron_last=True
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
            # the original drops in front of its last convolution and of every linear layer
            x = stage(self.dropout(x) if 0 < level == len(self.stages) - 1 else x)
            if level in chosen:
                features.append(x)
        return features


_NAMES = (
    (r"^ConvAttLIFs\.(\d)\.conv\.0\.", r"stages.\1.project.0.conv."),
    (r"^ConvAttLIFs\.(\d)\.bn\.0\.", r"stages.\1.project.0.bn."),
    (r"^ConvAttLIFs\.(\d)\.attn\.", r"stages.\1.attention."),
    (r"^ConvAttLIFs\.(\d)\.spike\.0\.attn\.", r"stages.\1.unused."),
    (r"^ConvAttLIFs\.(\d)\.spike\.0$", r"stages.\1.neuron"),
    (r"^FCs\.0\.linear\.0\.", "head.hidden.0."), (r"^FCs\.0\.spike\.0$", "head.neurons.0"),
    (r"^FCs\.1\.linear\.0\.", "head.linear."), (r"^FCs\.1\.spike\.0$", "head.neuron"),
)  # fmt: skip


def rename(key: str) -> str:
    """Our name for a parameter or a neuron of the published code.

    >>> rename("ConvAttLIFs.1.attn.fc.0.weight"), rename("FCs.1.spike.0")
    ('stages.1.attention.fc.0.weight', 'head.neuron')
    """
    for pattern, ours in _NAMES:
        key = re.sub(pattern, ours, key)
    return key


def remap(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published layout in our names."""
    return {rename(key): value for key, value in state_dict.items()}


@register_model(
    AsaCSNN, params=2_329_045, params_released=2_329_162, input_size=(2, 32, 32), modality="events",
    paper="2308.08227", remap=remap, dead=(".unused.",), verdict_released="hybrid", verdict_repaired="hybrid",
    published={"dvs128_gesture_top1": 95.2, "source": "README of BICLab/ASA-SNN, three layers, T = 60"},
)  # fmt: skip
def asa_csnn() -> dict[str, Any]:
    """Three convolutions for DVS128 Gesture, 60 frames of 2 polarities."""
    return {"widths": (64, 128, 128)}


@register_model(
    AsaCSNN, params=156_364, input_size=(2, 34, 34), modality="events", paper="2308.08227",
    verdict_released="hybrid", verdict_repaired="hybrid", unpublished=OUR_SHAPE,
)  # fmt: skip
def asa_csnn_nano() -> dict[str, Any]:
    """Three small convolutions for 8 event frames of 34 x 34 or 64 x 64."""
    return {
        "widths": (16, 32, 64), "pools": (2, 2, 2), "size": 4, "hidden": (128,), "steps": 8, "classes": 10,
    }  # fmt: skip
