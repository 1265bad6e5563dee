"""Names that the published pyramids share, in ours: Spike-driven Transformer V2, V3 and QSD-Transformer."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import Tensor

STAGES = {
    "downsample1_1": "stages.0.downsample", "ConvBlock1_1.0": "stages.0.blocks.0",
    "downsample1_2": "stages.1.downsample", "ConvBlock1_2.0": "stages.1.blocks.0",
    "downsample2": "stages.2.downsample", "ConvBlock2_1.0": "stages.2.blocks.0",
    "ConvBlock2_2.0": "stages.2.blocks.1",
    "downsample3": "stages.3.downsample", "block3": "stages.3.blocks",
    "downsample4": "stages.4.downsample", "block4": "stages.4.blocks",
}  # fmt: skip
# neurons are called lif, or spike in the base models of V3
PARTS = (
    (r"encode_conv", "project.conv"), (r"encode_bn", "project.bn"), (r"encode_(lif|spike)", "neuron"),
    (r"attn\.head_(lif|spike)", "attention.in_neuron"), (r"attn\.attn_(lif|spike)", "attention.out_neuron"),
    (r"attn\.([qkv])_(lif|spike)", r"attention.\1_neuron"),
    (r"mlp\.fc1_(conv|bn)", r"mlp.expand.\1"), (r"mlp\.fc2_(conv|bn)", r"mlp.reduce.\1"),
    (r"mlp\.fc1_(lif|spike)", "mlp.in_neuron"), (r"mlp\.fc2_(lif|spike)", "mlp.mid_neuron"),
)  # fmt: skip
"""Patterns of the parts that every family has, with what stands in their place here."""


def rename(key: str, parts: Iterable[tuple[str, str]], *, distilled: bool = False) -> str:
    """Our name for a parameter or a neuron of a published pyramid; `parts` are the family's own patterns."""
    if key in ("lif", "spike"):
        return "head.neuron"
    if key.startswith(("head.", "head_kd.")):
        part, name = key.split(".", 1)
        middle = {"head": ".label" if distilled else "", "head_kd": ".teacher"}[part]
        return f"head.linear{middle}.{name}"
    for theirs, ours in STAGES.items():
        if key.startswith(theirs + "."):
            key = ours + key[len(theirs) :]
            break
    for pattern, ours in (*parts, *PARTS):
        key = re.sub(pattern, ours, key)
    return key


def is_distilled(state_dict: dict[str, Tensor]) -> bool:
    """Whether a published checkpoint has a second head, for a teacher's answers."""
    return any(key.startswith("head_kd.") for key in state_dict)


def as_conv2d(weight: Tensor) -> Tensor:
    """A Conv1d weight (out, in, 1) with its second spatial axis; any other tensor as it is."""
    return weight.unsqueeze(-1) if weight.dim() == 3 else weight
