"""Spiking MLP: a pyramid without attention, whose tokens mix along rows and along columns.

*Source*: "Efficient Deep Spiking Multi-Layer Perceptrons with Multiplication-Free Inference", arXiv 2306.12465; code
EMI-Group/mixer-snn, commit e23e7636, which has no licence file (written here from its description; `remap` reads the
layouts of its checkpoints).

*Where we differ*: sequences come as (T, B, C, H, W); Linear layers are held as 1 x 1 Conv2d; the size of the picture is
an argument, as the layers along rows and columns, and the BatchNorms over positions, fix it.

*Expected*: published top-1 on ImageNet-1k stands in the cards.

The original normalises its channel block over positions. Such a gain folds into no weight that the positions share, so
that the published models are hybrid, with every matrix product free of multiplications; `position_norm=False`
normalises over channels instead, and is additive. `spiking_mlp_nano` does so, for 28 x 28 pictures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from spikedrive.blocks import (
    AxialMixer,
    ChannelMixer,
    Init,
    InputKind,
    NeuronLike,
    NormHead,
    PatchEmbed,
    PatchEncoding,
    SpikingModel,
    check_init,
    make_neuron,
    select_levels,
    spread_over_levels,
)
from spikedrive.errors import ConfigError, ShapeError
from spikedrive.models._registry import OUR_SHAPE, register_model


class _Block(nn.Module):
    """The token block and the channel block, both on top of the potentials that entered the stage."""

    def __init__(
        self, width: int, size: tuple[int, int], *, ratio: float, position_norm: bool, norm_identity: bool,
        neuron: NeuronLike,
    ) -> None:  # fmt: skip
        super().__init__()
        self.tokens = AxialMixer(width, size, norm_identity=norm_identity, neuron=neuron)
        self.token_neuron = make_neuron(neuron)
        self.channels = ChannelMixer(
            width, ratio, positions=size[0] * size[1] if position_norm else None, neuron=neuron
        )
        self.channel_neuron = make_neuron(neuron)

    def forward(self, potential: Tensor, x: Tensor) -> Tensor:
        potential = potential + self.tokens(x)
        return self.channel_neuron(potential + self.channels(self.token_neuron(potential)))


class _Stage(nn.Module):
    """An embedding, whose potentials every block of the stage starts from, and the blocks."""

    def __init__(self, embed: nn.Module, blocks: Sequence[nn.Module], neuron: NeuronLike) -> None:
        super().__init__()
        self.embed = embed
        self.neuron = make_neuron(neuron)
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        potential = self.embed(x)
        x = self.neuron(potential)
        for block in self.blocks:
            x = block(potential, x)
        return x


class SpikingMLP(SpikingModel):
    """Stages of an embedding and equal blocks; BatchNorm, mean over positions, one linear head.

    Stage i has width * 2^i channels; the first embeds patches of `patch` pixels, each later one halves the resolution,
    with spiking patch encoding or by plain 2 x 2 patches (`patch_encoding=False`, whose token blocks normalise their
    identity, too, as in the original's code). `image_size` is one number, or (H, W).

    *Shapes*: x (B, C, H, W), or (T, B, C, H, W) for `input="frames"` -> (B, K). `forward_features` gives the spikes
    after each stage.
    *Multiplies*: the first embedding (pixels), and with `position_norm` the gain of each position.
    *Raises*: ConfigError for sizes and widths that do not divide; ShapeError for a picture of another size.
    """

    def __init__(
        self,
        *,
        width: int,
        depths: Sequence[int] = (2, 8, 14, 2),
        image_size: int | Sequence[int] = 224,
        patch: int = 4,
        ratio: float = 3,
        patch_encoding: bool = True,
        position_norm: bool = True,
        neuron: NeuronLike = "LIF",
        steps: int = 4,
        classes: int = 1000,
        in_channels: int = 3,
        input: InputKind = "image",
        init: Init = "released",
    ) -> None:
        super().__init__(input=input, in_channels=in_channels, classes=classes, steps=steps)
        check_init(init)
        height, breadth = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.image_size = (int(height), int(breadth))
        _check_sizes(self.image_size, patch, len(depths), patch_encoding)
        size = (self.image_size[0] // patch, self.image_size[1] // patch)
        stages: list[nn.Module] = []
        for i, depth in enumerate(depths):
            channels = width * 2**i
            if i == 0:
                embed: nn.Module = PatchEmbed(in_channels, width, patch)
            elif patch_encoding:
                embed = PatchEncoding(channels // 2, channels, neuron=neuron)
            else:
                embed = PatchEmbed(channels // 2, channels, 2)
            if i:
                size = (-(-size[0] // 2), -(-size[1] // 2))
            block = partial(
                _Block, channels, size, ratio=ratio, position_norm=position_norm,
                norm_identity=not patch_encoding, neuron=neuron,
            )  # fmt: skip
            stages.append(_Stage(embed, [block() for _ in range(depth)], neuron))
        self.stages = nn.ModuleList(stages)
        self.head = NormHead(width * 2 ** (len(depths) - 1), classes)
        if init == "levels":
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            spread_over_levels(self)

    def forward(self, x: Tensor) -> Any:
        """Logits (B, K)."""
        return self.head(self.forward_features(x, levels=[len(self.stages) - 1])[0])

    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """The spikes after each asked stage, (T, B, C, H, W)."""
        chosen = select_levels(levels, len(self.stages))
        x = self.encode(x)
        if x.shape[-2:] != self.image_size:
            name = self.card.name if self.card else type(self).__name__
            raise ShapeError(
                f"{name} got pictures of {tuple(x.shape[-2:])} pixels; it takes {self.image_size}, as its layers along "
                f"rows and columns have that length. Build it with image_size={tuple(x.shape[-2:])}."
            )
        features = []
        for level, stage in enumerate(self.stages[: chosen[-1] + 1]):
            x = stage(x)
            if level in chosen:
                features.append(x)
        return features


def _check_sizes(image_size: tuple[int, int], patch: int, stages: int, patch_encoding: bool) -> None:
    # spiking patch encoding rounds up, plain patches must fit
    stride = patch if patch_encoding else patch * 2 ** (stages - 1)
    if stages < 1 or patch < 1 or any(n < stride or n % stride for n in image_size):
        raise ConfigError(
            f"SpikingMLP got image_size={image_size} with patch={patch} and {stages} stages; it takes multiples of "
            f"{stride}. Change image_size, or the patch."
        )


_EMBED = r"^to_patch_embedding\.(\d+)\."
_NORM = r"(?:\.0)?\."
_NAMES = (
    (_EMBED + r"cell2node\.(\d)\.0\.", r"stages.\1.embed.down.\2.conv."),
    (_EMBED + r"cell2node\.(\d)\.1" + _NORM, r"stages.\1.embed.down.\2.bn."),
    (_EMBED + r"node(1|2)_node[23]\.0\.", lambda m: f"stages.{m[1]}.embed.onward.{int(m[2]) - 1}.conv."),
    (_EMBED + r"node(1|2)_node[23]\.1" + _NORM, lambda m: f"stages.{m[1]}.embed.onward.{int(m[2]) - 1}.bn."),
    (_EMBED + r"lif\.(\d)", r"stages.\1.embed.neurons.\2"),
    (_EMBED + r"0\.", r"stages.\1.embed.project.conv."), (_EMBED + "1" + _NORM, r"stages.\1.embed.project.bn."),
    (r"^to_patch_embedding_lif\.(\d+)", r"stages.\1.neuron"),
    (r"proj_([hw])\.1\.", r"tokens.along_\1.conv."), (r"proj_([hw])\.2" + _NORM, r"tokens.along_\1.bn."),
    (r"proj_([hw])\.3", r"tokens.\1_neuron"),
    (r"fuse\.0\.", "tokens.join.conv."), (r"fuse\.1" + _NORM, "tokens.join.bn."),
    (r"(?<=\d\.)BN" + _NORM, "tokens.identity.bn."), (r"(?<=\d\.)activation", "tokens.identity_neuron"),
    (r"1\.net\.0\.", "channels.expand.conv."), (r"1\.net\.1" + _NORM, "channels.expand.bn."),
    (r"1\.net\.2", "channels.neuron"),
    (r"1\.net\.3\.", "channels.reduce.conv."), (r"1\.net\.4" + _NORM, "channels.reduce.bn."),
    (r"^batch_norm" + _NORM, "head.linear.bn."), (r"^mlp_head\.1\.", "head.linear.linear."),
    (r"(along|tokens)([._])h(?=[._])", r"\1\2height"), (r"(along|tokens)([._])w(?=[._])", r"\1\2width"),
)  # fmt: skip


def rename(key: str, depths: Sequence[int]) -> str:
    """Our name for a parameter or a neuron of the published code, which numbers its blocks through all stages.

    >>> rename("token_mix.3.proj_w.2.weight", (2, 8, 14, 2)), rename("channel_mix_lif.10", (2, 8, 14, 2))
    ('stages.1.blocks.1.tokens.along_width.bn.weight', 'stages.2.blocks.0.channel_neuron')
    """
    places = [f"stages.{i}.blocks.{j}" for i, depth in enumerate(depths) for j in range(depth)]
    for pattern, ours in _NAMES:
        key = re.sub(pattern, ours, key)
    key = re.sub(r"^(token|channel)_mix_lif\.(\d+)", lambda m: f"{places[int(m[2])]}.{m[1]}_neuron", key)
    return re.sub(r"^(token|channel)_mix\.(\d+)", lambda m: places[int(m[2])], key)


def remap(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published layouts in our names, BatchNorms wrapped for several steps or not; Linear weights as 1 x 1 ones."""
    widths = {k: len(v) for k, v in state_dict.items() if re.fullmatch(r"token_mix\.\d+\.fuse\.0\.weight", k)}
    depths = [list(widths.values()).count(width) for width in sorted(set(widths.values()))]
    renamed = {rename(key, depths): value for key, value in state_dict.items()}
    return {
        key: value[:, :, None, None] if key.endswith(".conv.weight") and value.dim() == 2 else value
        for key, value in renamed.items()
    }


_register = partial(
    register_model, SpikingMLP, paper="2306.12465", remap=remap, input_size=(3, 224, 224),
    verdict_released="hybrid", verdict_repaired="hybrid", licence="none stated by the original",
    recipe="imagenet_spiking_mlp",
)  # fmt: skip


def _published(**top1: float) -> dict[str, float | str]:
    return {**top1, "source": "README of EMI-Group/mixer-snn, ImageNet-1k"}


@_register(
    params=25_229_180, params_released=25_229_180,
    published=_published(imagenet1k_top1=66.39, imagenet1k_top1_t6=69.09),
)  # fmt: skip
def spiking_mlp_spe_t() -> dict[str, Any]:
    """25.2M parameters, spiking patch encoding."""
    return {"width": 78}


@_register(params=34_507_408, params_released=34_507_408, published=_published(imagenet1k_top1=63.25))
def spiking_mlp_s() -> dict[str, Any]:
    """34.5M parameters, plain patches."""
    return {"width": 96, "patch_encoding": False}


@_register(params=37_975_568, params_released=37_975_568, published=_published(imagenet1k_top1=68.84))
def spiking_mlp_spe_s() -> dict[str, Any]:
    """38.0M parameters, spiking patch encoding."""
    return {"width": 96}


@_register(params=65_607_184, published=_published(imagenet1k_top1=71.64))
def spiking_mlp_spe_b() -> dict[str, Any]:
    """65.6M parameters; width and depths are inferred from the published 66M, no configuration of it was released."""
    return {"width": 108, "depths": (2, 10, 24, 2), "steps": 6}


@register_model(
    SpikingMLP, params=441_234, input_size=(1, 28, 28), levels=4, paper="2306.12465", verdict_released="additive",
    verdict_repaired="additive", unpublished=OUR_SHAPE, recipe="fashion_mnist",
)  # fmt: skip
def spiking_mlp_nano() -> dict[str, Any]:
    """Every part of the family for 28 x 28 pictures, with integers 0..4 in one step."""
    return {
        "width": 48, "depths": (2, 4), "image_size": 28, "patch": 2, "position_norm": False,
        "neuron": {"name": "ILIF", "levels": 4}, "steps": 1, "classes": 10, "in_channels": 1, "init": "levels",
    }  # fmt: skip
