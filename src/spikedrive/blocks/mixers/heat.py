"""Heat conduction as a token mixer: every channel of a frame is a plate on which its values spread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks.conv import ChannelNorm, ConvBN
from spikedrive.blocks.mixers.routing import Route, RoutedFusion
from spikedrive.blocks.mixers.tokens import TOKEN_MIXERS
from spikedrive.blocks.neuron import NeuronLike, make_neuron
from spikedrive.errors import ConfigError, ShapeError
from spikedrive.ops.fold import over_time
from spikedrive.ops.heat import conduct


@TOKEN_MIXERS.register("heat")
class HeatConduction(nn.Module):
    """Each channel's values spread as heat does, each frequency at a speed that is learned.

    *Equation*: y = `ops.heat.conduct`(x, k) for one unit of time, k_nm = max(0, W e_nm + b), e_nm the embedding of
    frequency (n, m).
    *Shapes*: x (N, C, H, W), table e (H, W, C) -> (N, C, H, W).
    *Units*: k in squared pixels of the map.
    *Raises*: ShapeError for a table of another map.
    *Multiplies*: real numbers by four constant matrices, and by the decays, which are constants once it is trained:
    `ops.heat.products` counts them. The audit finds it hybrid wherever it stands.
    *Source*: vHeat (arXiv 2405.16555), its heat conduction operator and frequency value embeddings.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_k = nn.Linear(channels, channels)

    def diffusivity(self, table: Tensor) -> Tensor:
        """k of each channel and frequency: (H, W, C) -> (C, H, W)."""
        return F.relu(self.to_k(table)).permute(2, 0, 1)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        """The map a unit of time later."""
        if table.shape != (*x.shape[2:], x.shape[1]):
            raise ShapeError(
                f"HeatConduction got maps of shape {tuple(x.shape)} and a table of {tuple(table.shape)}; the table "
                "holds one embedding (H, W, C) for each frequency of the map. Build the model with the image_size of "
                "its pictures."
            )
        return conduct(x, self.diffusivity(table))


@TOKEN_MIXERS.register("none")
class NoConduction(nn.Module):
    """Nothing spreads: the twin of `HeatConduction` that shows what conduction is worth.

    *Shapes*: x (N, C, H, W), table (H, W, C) -> (N, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        """x."""
        return x


class FrequencyTables(nn.Module):
    """Embeddings of the frequencies of every stage: learned for the first, made from the one before for the others.

    *Equation*: e_0 learned; e_i = BN(conv 3 x 3, stride 2 (e_i-1)).
    *Shapes*: -> one (H_i, W_i, C_i) a stage, each half as high and wide as the one before, rounded up.
    *Raises*: ConfigError for a map without places.
    *Source*: MMHCO (arXiv 2504.05830) and its code. **Where we differ**: there the tables are multiplied by noise at
    every call, anew, and cut off from what learns; here they are what they were learned to be.
    """

    def __init__(self, size: tuple[int, int], widths: Sequence[int]) -> None:
        super().__init__()
        if min(size) < 1:
            raise ConfigError(
                f"FrequencyTables got a map of {size[0]} x {size[1]}; it takes at least 1 x 1. Use larger pictures."
            )
        self.first = nn.Parameter(torch.empty(*size, widths[0]))
        nn.init.trunc_normal_(self.first, std=0.02)
        self.steps = nn.ModuleList(ConvBN(a, b, 3, stride=2) for a, b in pairwise(widths))

    def forward(self) -> list[Tensor]:
        """The table of every stage."""
        maps = [self.first.permute(2, 0, 1)[None]]
        for step in self.steps:
            maps.append(step(maps[-1]))
        return [each[0].permute(1, 2, 0) for each in maps]


class MapNorm(nn.LayerNorm):
    """LayerNorm over the channels of every place.

    *Shapes*: x (T, B, C, H, W) -> the same.
    *Multiplies*: statistics of what comes, so that it folds into no weight.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The normalised map."""
        return super().forward(input.movedim(2, 4)).movedim(4, 2)


class HeatMixer(nn.Module):
    """A branch in which heat is conducted on the maps of one or two cameras, which then meet, and a gate.

    *Equation*: u, z = W_in dw(x); u = conduct(u) for each camera; [u = fusion(u);] y = W_out (LN(u) * gate(z)), the
    gate SiLU, or a `neuron` behind BatchNorm whose spikes let u through.
    *Shapes*: x (T, M B, C, H, W), the frames of the first of M cameras in front, and one table (H, W, C) a camera ->
    (T, M B, C, H, W).
    *Raises*: UnknownNameError for another mixer or route; ShapeError for tables of another map.
    *Multiplies*: all of it.
    *Source*: vHeat (arXiv 2405.16555) for one camera, MMHCO (arXiv 2504.05830) for two. **Where we differ**: the
    neuron.
    """

    def __init__(
        self,
        channels: int,
        *,
        cameras: int = 1,
        mixer: str = "heat",
        route: Route = "hard",
        policy: tuple[int, int] = (256, 32),
        neuron: NeuronLike | None = None,
    ) -> None:
        super().__init__()
        self.cameras = cameras
        self.near = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.project = nn.Conv2d(channels, 2 * channels, 1)
        self.mixer = TOKEN_MIXERS[mixer](channels)
        self.fusion = RoutedFusion(channels, route=route, policy=policy) if cameras == 2 else None
        self.norm = MapNorm(channels)
        self.gate_norm = nn.Identity() if neuron is None else ChannelNorm(channels)
        self.gate = nn.SiLU() if neuron is None else make_neuron(neuron)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, tables: Sequence[Tensor]) -> Tensor:
        """The branch, without its shortcut."""
        u, z = over_time(lambda y: self.project(self.near(y)), x).chunk(2, 2)
        parts = [
            over_time(partial(self.mixer, table=table), part)
            for part, table in zip(u.unflatten(1, (self.cameras, -1)).unbind(1), tables, strict=True)
        ]
        if self.fusion is not None:
            parts = self.fusion(*parts)
        gate = self.gate(over_time(self.gate_norm, z))
        return over_time(self.out, self.norm(torch.cat(list(parts), 1)) * gate)
