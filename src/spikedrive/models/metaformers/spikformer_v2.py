"""Spikformer V2: Spikformer's blocks behind a deep convolutional stem.

*Source*: "Spikformer V2: Join the High Accuracy Club on ImageNet with an SNN Ticket", arXiv 2401.02020. No code was
released and no layout of a checkpoint, so that there is no `remap`.

*Where we differ*: what the stem is made of is taken from the paper's description, and its sizes are derived from the
parameter counts that are quoted of it: four stages of d/8, d/4, d/2 and d channels, each a convolution with stride 2
(3 x 3 over pixels, then 2 x 2) with its neuron, and a supplementary pair of 3 x 3 convolutions of four times the width
whose spikes are added. This gives 29.11, 51.55 and 172.3 million parameters; quoted are 51.55 and, in the abstract,
172. A kernel of 7 x 7 over pixels would fit as well. Masked pretraining is a matter of training, not of this file.
No recipe: of its trainings the settings are known to us neither from code nor from the abstract.

*Expected*: published top-1 on ImageNet-1k stands in the cards; nothing was trained here.

Shortcuts add spikes, as in Spikformer: additive in integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from spikedrive.blocks import (
    MLP,
    ClassifyHead,
    Downsample,
    InputKind,
    NeuronLike,
    PatchEmbed,
    SEWShortcut,
    SpikingModel,
    make_neuron,
    select_levels,
)
from spikedrive.errors import ConfigError
from spikedrive.models._registry import register_model
from spikedrive.models.metaformers.spikformer import SpikformerBlock
from spikedrive.neurons.neuron import check_count


class _StemStage(nn.Module):
    """Half the resolution, a neuron, and a pair of 3 x 3 convolutions whose spikes are added."""

    def __init__(self, project: nn.Module, channels: int, *, ratio: float, neuron: NeuronLike) -> None:
        super().__init__()
        self.project = project
        self.neuron = make_neuron(neuron)
        self.supplement = MLP(channels, ratio, kernel_size=3, bias=False, neuron_last=True, neuron=neuron)
        self.shortcut = SEWShortcut()

    def forward(self, x: Tensor) -> Tensor:
        x = self.neuron(self.project(x))
        return self.shortcut(x, self.supplement(x))


class SpikformerV2(SpikingModel):
    """Four stem stages, equal blocks, mean over positions, one linear head.

    *Shapes*: x (B, C, H, W), or (T, B, C, H, W) for `input="frames"` -> (B, K). `forward_features` has four levels, of
    strides 2, 4, 8 and 16: the sums of spikes after three stem stages, and after the last block.
    *Multiplies*: the first convolution only: it meets pixels. Every other layer meets integers.
    *Raises*: ConfigError for arguments out of range.
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int = 8,
        mlp_ratio: float = 4,
        stem_ratio: float = 4,
        attention_scale: float = 0.125,
        neuron: NeuronLike = "LIF",
        steps: int = 4,
        classes: int = 1000,
        in_channels: int = 3,
        input: InputKind = "image",
        drop_path: float = 0.0,
    ) -> None:
        super().__init__(input=input, in_channels=in_channels, classes=classes, steps=steps)
        check_count("SpikformerV2", "depth", depth)
        if width < 8 or width % 8:
            raise ConfigError(
                f"SpikformerV2 got width={width}; it takes a multiple of 8. Use {max(8, width // 8 * 8)}."
            )
        widths = [width // 8, width // 4, width // 2, width]
        projects: list[nn.Module] = [Downsample(in_channels, widths[0], 3, bias=False, neuron=None)]
        projects += [PatchEmbed(a, 2 * a, 2) for a in widths[:-1]]
        self.stem = nn.ModuleList(
            _StemStage(project, channels, ratio=stem_ratio, neuron=neuron)
            for project, channels in zip(projects, widths, strict=True)
        )
        block = partial(
            SpikformerBlock, width, heads=heads, ratio=mlp_ratio, qkv_bias=False, scale=attention_scale,
            as_released=False, neuron=neuron,
        )  # fmt: skip
        self.blocks = nn.Sequential(
            *(block(drop_path=drop_path * i / max(1, depth - 1)) for i in range(depth))
        )
        self.head = ClassifyHead(width, classes, neuron=None)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Any:
        """Logits (B, K)."""
        return self.head(self.forward_features(x, levels=[3])[0])

    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """The sums of spikes at each asked level, (T, B, C, H, W)."""
        chosen = select_levels(levels, 4)
        x = self.encode(x)
        features = []
        for level, stage in enumerate(self.stem[: chosen[-1] + 1]):
            x = stage(x)
            x = self.blocks(x) if level == 3 else x
            if level in chosen:
                features.append(x)
        return features


_register = partial(
    register_model, SpikformerV2, paper="2401.02020", input_size=(3, 224, 224), verdict_released="additive",
    verdict_repaired="additive", params_derived=True,
)  # fmt: skip
_ABSTRACT = "abstract of arXiv 2401.02020"


@_register(params=29_111_992, unpublished="its abstract gives 8-512 and 16-768 alone")
def spikformer_v2_8_384() -> dict[str, Any]:
    """8 blocks of width 384; the stem and this count are derived, see the module."""
    return {"width": 384, "depth": 8}


@_register(params=51_546_024, published={"imagenet1k_top1": 80.38, "source": _ABSTRACT})
def spikformer_v2_8_512() -> dict[str, Any]:
    """8 blocks of width 512; the stem and this count are derived, see the module."""
    return {"width": 512, "depth": 8}


@_register(
    params=172_280_200,
    published={"imagenet1k_top1": 81.10, "source": f"{_ABSTRACT}, T = 1 after self-supervised pretraining"},
)
def spikformer_v2_16_768() -> dict[str, Any]:
    """16 blocks of width 768; the stem and this count are derived, see the module."""
    return {"width": 768, "depth": 16, "steps": 1}
