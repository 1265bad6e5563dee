"""Masked Spiking Transformer: a Swin with spikes for activations, converted from integers, at random fewer of them.

*Source*: "Masked Spiking Transformer", ICCV 2023 (arXiv 2210.01208); code bic-L/Masked-Spiking-Transformer, commit
368c9a54, which has no licence file (written here from its description; `remap` reads the layout of its checkpoints).

*Where we differ*: Linear layers are held as 1 x 1 Conv2d; drop-path has its usual schedule, and is 0 unless asked for;
a neuron's start at half its threshold is its state, where the original calls it once more at t = 0; any picture is
taken whose maps the windows divide.

*Expected*: nothing was trained here.

One file of weights, two forms: as trained, QCFS activations in one step (`neuron={"name": "QCFS", "levels": 16}`), and
spiking, `neuron={"name": "QCFS", "spiking": True}, steps=128`. The first neuron meets constant input, and its rate over
T = levels steps is the trained answer exactly; behind it inputs change from step to step, and a mean of products of
spikes is no product of their means, so that the two forms' answers agree in part. Attention multiplies: softmax, and
its product with the values. Hybrid in both forms.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from spikedrive.blocks import (
    MLP,
    ChannelNorm,
    EveryStep,
    InputKind,
    LayerNormHead,
    MembraneShortcut,
    NeuronLike,
    PatchEmbed,
    PatchMerging,
    SpikingModel,
    WindowAttention,
    make_neuron,
    select_levels,
)
from spikedrive.errors import ConfigError
from spikedrive.models._registry import register_model


class _Block(nn.Module):
    """Window attention and a mixer; the mixer's shortcut starts from the normalised sum, as in the original."""

    def __init__(
        self, width: int, *, heads: int, window: int, shifted: bool, ratio: float, mask_rate: float,
        drop_path: float, neuron: NeuronLike,
    ) -> None:  # fmt: skip
        super().__init__()
        self.attention_norm = EveryStep(ChannelNorm(width))
        self.attention_neuron = make_neuron(neuron)
        self.attention = WindowAttention(
            width, heads, window, shifted=shifted, mask_rate=mask_rate, neuron=neuron
        )
        self.mlp_norm = EveryStep(ChannelNorm(width))
        self.mlp_neuron = make_neuron(neuron)
        self.mlp = MLP(width, ratio, neuron_last=True, neuron=neuron)
        self.shortcut = MembraneShortcut(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shortcut(x, self.attention(self.attention_neuron(self.attention_norm(x))))
        x = self.mlp_norm(x)
        return self.shortcut(x, self.mlp(self.mlp_neuron(x)))


class _Stage(nn.Module):
    """Patches, embedded or merged, with their neuron, then blocks."""

    def __init__(self, patches: nn.Module, blocks: Sequence[nn.Module], neuron: NeuronLike) -> None:
        super().__init__()
        self.patches = patches
        self.neuron = make_neuron(neuron)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.neuron(self.patches(x)))


class MaskedSpikingTransformer(SpikingModel):
    """Stages of patches and blocks of window attention; LayerNorm, mean over positions, one linear head.

    Stage i has width * 2^i channels at 1 / (patch * 2^i) of the resolution. `mask_rate` is the share of the queries',
    keys' and scores' spikes that is dropped at random, in eval mode too; it must be that of the checkpoint.
    The released class is counted before its conversion puts the ceilings in: `as_released` holds QCFS's as constants.
    `image_size` is the size whose smallest map bounds the window, as in the original.

    *Shapes*: x (B, C, H, W), or (T, B, C, H, W) for `input="frames"` -> (B, K). `forward_features` gives one level a
    stage.
    *Multiplies*: the first convolution (pixels), softmax and its product with the values, and the LayerNorm.
    *Raises*: ConfigError for lists of unequal length; ShapeError for maps that the windows do not divide.
    """

    def __init__(
        self,
        *,
        width: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        heads: Sequence[int] = (3, 6, 12, 24),
        window: int = 7,
        patch: int = 4,
        mlp_ratio: float = 4,
        mask_rate: float = 0.0,
        image_size: int = 224,
        neuron: NeuronLike = "QCFS",
        steps: int = 1,
        classes: int = 1000,
        in_channels: int = 3,
        input: InputKind = "image",
        drop_path: float = 0.0,
        as_released: bool = False,
    ) -> None:
        super().__init__(input=input, in_channels=in_channels, classes=classes, steps=steps)
        if not depths or len(depths) != len(heads):
            raise ConfigError(
                f"MaskedSpikingTransformer got {len(depths)} depths and {len(heads)} numbers of heads; it takes one of "
                "each a stage. Make the lists equally long."
            )
        if as_released and neuron == "QCFS":
            neuron = {"name": "QCFS", "learn_ceiling": False}
        stages, built = [], 0
        for i, depth in enumerate(depths):
            channels = width * 2**i
            patches = PatchMerging(channels // 2) if i else PatchEmbed(in_channels, width, patch, bias=True)
            block = partial(
                _Block, channels, heads=heads[i], window=min(window, image_size // (patch * 2**i)),
                ratio=mlp_ratio, mask_rate=mask_rate, neuron=neuron,
            )  # fmt: skip
            rates = [drop_path * (built + j) / max(1, sum(depths) - 1) for j in range(depth)]
            blocks = [block(shifted=j % 2 == 1, drop_path=rate) for j, rate in enumerate(rates)]
            stages.append(_Stage(patches, blocks, neuron))
            built += depth
        self.stages = nn.ModuleList(stages)
        self.head = LayerNormHead(width * 2 ** (len(depths) - 1), classes)

    def forward(self, x: Tensor) -> Any:
        """Logits (B, K)."""
        return self.head(self.forward_features(x, levels=[len(self.stages) - 1])[0])

    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """What leaves each asked stage, (T, B, C, H, W)."""
        chosen = select_levels(levels, len(self.stages))
        x = self.encode(x)
        features = []
        for level, stage in enumerate(self.stages[: chosen[-1] + 1]):
            x = stage(x)
            if level in chosen:
                features.append(x)
        return features


_NAMES = (
    (r"^patch_embed\.proj_if", "stages.0.neuron"), (r"^patch_embed\.proj\.", "stages.0.patches.project.conv."),
    (r"^patch_embed\.norm\.", "stages.0.patches.project.bn."),
    (r"^layers\.(\d+)\.blocks", r"stages.\1.blocks"),
    (r"^layers\.(\d+)\.downsample\.reduction_if", lambda m: f"stages.{int(m[1]) + 1}.neuron"),
    (r"^layers\.(\d+)\.downsample\.reduction\.", lambda m: f"stages.{int(m[1]) + 1}.patches.reduce.1."),
    (r"^layers\.(\d+)\.downsample\.norm\.", lambda m: f"stages.{int(m[1]) + 1}.patches.reduce.0.bn."),
    (r"mlp\.fc1_if", "mlp.mid_neuron"), (r"mlp\.fc2_if", "mlp.end_neuron"),
    (r"mlp\.fc1\.", "mlp.expand.conv."), (r"mlp\.fc2\.", "mlp.reduce.conv."),
    (r"mlp\.norm1\.", "mlp.expand.bn."), (r"mlp\.norm2\.", "mlp.reduce.bn."),
    (r"(?<=\d\.)norm1\.", "attention_norm.0.bn."), (r"(?<=\d\.)norm2\.", "mlp_norm.0.bn."),
    (r"shortcut1_if", "attention_neuron"), (r"shortcut2_if", "mlp_neuron"),
    (r"attn\.([qkv])_if", r"attention.\1_neuron"), (r"attn\.attn_if", "attention.score_neuron"),
    (r"attn\.attn_v_if", "attention.out_neuron"), (r"attn\.proj_if", "attention.end_neuron"),
    (r"attn\.relative_position_bias_table", "attention.position_bias"), (r"attn\.(qkv|proj)\.", r"attention.\1."),
    (r"^norm\.", "head.norm."), (r"^head\.(weight|bias)", r"head.linear.\1"), (r"\.up$", ".ceiling"),
)  # fmt: skip


def rename(key: str) -> str:
    """Our name for a parameter or an activation of the published code.

    >>> rename("layers.2.blocks.5.attn.attn_if.up"), rename("layers.0.downsample.norm.bias")
    ('stages.2.blocks.5.attention.score_neuron.ceiling', 'stages.1.patches.reduce.0.bn.bias')
    """
    for pattern, ours in _NAMES:
        key = re.sub(pattern, ours, key)
    return key


def remap(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published layout in our names; Linear weights get their spatial axes."""
    renamed = {rename(key): value for key, value in state_dict.items()}
    return {
        key: value[:, :, None, None] if value.dim() == 2 and _is_conv(key) else value
        for key, value in renamed.items()
    }


def _is_conv(key: str) -> bool:
    return key.endswith(".weight") and not key.startswith("head.")


@register_model(
    MaskedSpikingTransformer, params=28_332_638, params_released=28_332_514, input_size=(3, 224, 224), levels=16,
    paper="2210.01208", remap=remap, dead=("attn_mask", "relative_position_index"), verdict_released="hybrid",
    verdict_repaired="hybrid", licence="none stated by the original",
    recipe="imagenet_masked_spiking_transformer",
    published={
        "imagenet1k_top1": 77.9, "cifar10_top1": 97.27, "cifar100_top1": 86.91,
        "source": "tables of arXiv 2210.01208, as its readers quote them; ImageNet spiking, T = 128, no mask",
    },
)  # fmt: skip
def masked_spiking_transformer_tiny() -> dict[str, Any]:
    """The shape of Swin-T."""
    return {}
