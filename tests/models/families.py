"""Every registered model, small enough to test: the one place that knows how."""

from __future__ import annotations

import copy
from fnmatch import fnmatch
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

import spikedrive as sd
from spikedrive.blocks import FlatHead, SpikingModel
from spikedrive.models import get_card
from spikedrive.models.events.spikepoint import VotingHead
from spikedrive.models.events.ta_snn import AttendedHead

# the first pattern that matches a registered name gives its small arguments and the size of its pictures
_META = {
    "widths": (8, 16, 24), "depths": (1, 1, 1), "strides": (2, 2, 1), "transformer_stages": 1, "heads": 1,
    "stem_kernel": 3, "separable_kernel": 3,
}  # fmt: skip
_LARGE = {
    "widths": (8, 16, 24), "depths": (1, 1, 1), "strides": (2, 2, 1), "heads": 1, "stem_kernel": 3, "conv_ratio": 2,
    "layer_scale": 0.5,
}  # fmt: skip
TINY: list[tuple[str, dict[str, Any], int]] = [
    ("spike_driven_transformer_dvs_nano", {"width": 32, "depth": 1, "pooling": "1100"}, 16),
    (
        "spike_driven_transformer_nano",
        {"width": 32, "depth": 1, "pooling": "1100", "mask_threshold": 8.0},
        16,
    ),
    ("spike_driven_transformer_*", {"width": 32, "depth": 1, "heads": 4, "pooling": "0011"}, 16),
    (
        "meta_spikeformer_nano",
        {"widths": (8, 16, 16), "strides": (2, 2, 1), "heads": 2, "attention_scale": 1 / 32},
        16,
    ),
    ("meta_spikeformer_*", _META, 16),
    ("spike_video_former_*nano", {"widths": (8, 16, 16), "strides": (2, 2, 1), "heads": 2}, 16),
    ("spike_video_former_*", _META, 16),
    ("sew_resnet*", {"widths": (8, 16), "depths": (1, 2)}, 16),
    ("ms_resnet*", {"widths": (8, 16), "depths": (1, 2)}, 16),
    ("spiking_vgg*", {"widths": ((8, 8), (8, 16, 16)), "pooled": 4, "hidden": (16, 16, 16)}, 16),
    (
        "mmhco*",
        {
            "widths": (8, 16),
            "depths": (1, 1),
            "image_size": 16,
            "layer_scale": 1.0,
            "policy": (8, 8),
            "drop_path": 0.0,
        },
        16,
    ),
    (
        "spikepoint_*",
        {"widths": (8, 16), "last": 16, "hidden": 16, "votes": 2, "groups": 8, "neighbours": 4},
        32,
    ),
    ("asa_csnn*", {"widths": (8, 16), "pools": (1, 2), "hidden": (16,), "steps": 3}, 16),
    ("ta_snn_*", {"widths": (8, 16), "pools": (1, 2), "hidden": (16,), "steps": 3, "reduction": 1}, 16),
    (
        "csnn_*",
        {"widths": (8, 8, 8, 8, 8, 16), "pools": (1, 1, 1, 1, 1, 2), "size": 8, "hidden": (16,) * 3},
        16,
    ),
    ("spiking_mlp_*", {"width": 12, "depths": (1, 2), "image_size": 16, "patch": 2}, 16),
    (
        "masked_spiking_transformer_*",
        {"width": 12, "depths": (2, 1), "heads": (3, 2), "window": 4, "patch": 2, "image_size": 16},
        16,
    ),
    ("spikformer_v2_*", {"width": 32, "depth": 1, "heads": 4, "stem_ratio": 2}, 32),
    ("spikformer_*", {"width": 32, "depth": 1, "heads": 4, "pooling": "0011"}, 16),
    ("e_spikeformer_nano", {"widths": (8, 16, 16), "strides": (2, 2, 1), "heads": 2}, 16),
    ("e_spikeformer_*83m", _LARGE, 16),
    ("e_spikeformer_*171m", _LARGE, 16),
    ("e_spikeformer_*", {**_META, "value_ratio": 2}, 16),
    ("qsd_transformer_nano", {"widths": (8, 16, 16), "strides": (2, 2, 1), "heads": 2}, 16),
    ("qsd_transformer_*", {**_META, "layer_scale": 0.5, "attention_scale": 1 / 64}, 16),
]
# one name for each shape that the code can take; the others differ in numbers that TINY replaces
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "v1": ("spike_driven_transformer_8_384", {}),
    "v1_plif": ("spike_driven_transformer_8_384", {"neuron": "PLIF"}),
    "v1_inner_shortcut": ("spike_driven_transformer_cifar_2_256", {"mlp_ratio": 1}),
    "v1_nano": ("spike_driven_transformer_nano", {}),
    "v1_frames": ("spike_driven_transformer_gesture_2_256", {}),
    "v2": ("meta_spikeformer_15m", {}),
    "v2_distilled": ("meta_spikeformer_15m", {"distilled": True}),
    "v2_spiking": ("meta_spikeformer_spiking_15m", {}),
    "v2_integer": (
        "meta_spikeformer_spiking_15m",
        {"neuron": {"name": "ILIF", "levels": 4, "carry": True}, "attention_scale": 1 / 64},
    ),
    "nano": ("meta_spikeformer_nano", {}),
    "video": ("spike_video_former_15m", {}),
    "video_causal": ("spike_video_former_causal_nano", {}),
    "spikformer": ("spikformer_cifar_4_384", {"heads": 2, "depth": 2}),
    "mlp": ("spiking_mlp_spe_t", {}),
    "mlp_plain": ("spiking_mlp_s", {}),
    "mlp_nano": ("spiking_mlp_nano", {}),
    "spikformer_integer": (
        "spikformer_8_384",
        {"neuron": {"name": "ILIF", "levels": 4}, "attention_scale": 1 / 64, "steps": 1},
    ),
    "mst": ("masked_spiking_transformer_tiny", {}),
    "mst_spiking": (
        "masked_spiking_transformer_tiny",
        {"neuron": {"name": "QCFS", "spiking": True}, "steps": 4},
    ),
    "spikformer_v2": ("spikformer_v2_8_384", {}),
    "v3": ("e_spikeformer_5m", {}),
    "v3_nano": ("e_spikeformer_nano", {}),
    "v3_large": ("e_spikeformer_83m", {"distilled": True}),
    "v3_large_spiking": ("e_spikeformer_spiking_171m", {}),
    "sew": ("sew_resnet50", {"stem_pool": False}),
    "sew_integer": ("sew_resnet_nano", {}),
    "ms": ("ms_resnet104", {}),
    "ms_spiking": ("ms_resnet_spiking18", {}),
    "vgg": ("spiking_vgg11", {"neuron": {"name": "LIF", "threshold": 0.25}, "init": "levels"}),
    "vgg_integer": ("spiking_vgg_nano", {}),
    "asa": ("asa_csnn", {}),
    "ta": ("ta_snn_gesture", {}),
    "points": ("spikepoint_small", {"steps": 4, "hidden": 32, "votes": 5}),
    "mmhco": ("mmhco_nano", {"dropout": 0.0}),
    "mmhco_spiking": ("mmhco_spiking_nano", {"dropout": 0.0}),
    "csnn": ("csnn_asl", {"neuron": {"name": "LIF", "threshold": 0.25}}),
    "qsd": ("qsd_transformer_15m", {}),
    "qsd_nano": ("qsd_transformer_nano", {}),
}
# without those that multiply after every exact repair, as their card says
INTEGER = [f for f, (name, _) in FAMILIES.items() if get_card(name).verdict_repaired != "hybrid"]
# without those that sum up along the steps, which the engine has no rule for
COMPILED = [family for family in INTEGER if family != "video_causal"]
# without those that look at all steps at once: no chunks, no causality
STEP_BY_STEP = [family for family in FAMILIES if family not in ("asa", "ta", "video")]
# without those that take no frames
OF_FRAMES = [family for family in STEP_BY_STEP if family != "points"]


def tiny(family: str, **config: Any) -> SpikingModel:
    """A small model of a family of `FAMILIES`, in eval mode, with firing neurons."""
    return copy.deepcopy(_lively(family, tuple(sorted(config.items()))))


@cache
def _lively(family: str, config: tuple[tuple[str, Any], ...]) -> SpikingModel:
    name, own = FAMILIES[family]
    small, size = small_arguments(name)
    torch.manual_seed(0)
    model = sd.create_model(name, **{"steps": 2, "classes": 5, **small, **own, **dict(config)})
    # a product of three binaries, an eighth of it, reaches its threshold only where all fire often
    binary = {n.domain.levels for n in model.neurons().values()} == {1}
    rare = "attention_scale" in model.config and binary
    # levels of a quarter each are passed over by membranes as wide as those of whole ones
    quarters = any(getattr(n, "threshold", 1.0) == 0.25 for n in model.neurons().values())
    gain = (2.0, 3.0) if rare else (0.25, 0.5) if quarters else (1.0, 2.0)
    return liven(model, pictures(model, size, batch=4), gain=gain).eval()


def small_arguments(name: str) -> tuple[dict[str, Any], int]:
    """The small arguments and the picture size for a registered name."""
    return next((arguments, size) for pattern, arguments, size in TINY if fnmatch(name, pattern))


def inputs(family: str, model: SpikingModel, *, batch: int = 2, steps: int = 3) -> Tensor:
    """Pictures as the model takes them; `steps` counts frames."""
    return pictures(model, small_arguments(FAMILIES[family][0])[1], batch=batch, steps=steps)


def pictures(model: SpikingModel, size: int, *, batch: int, steps: int = 3) -> Tensor:
    """Normal noise in the model's shape and dtype; for points so many, uniform in 0..1."""
    generator = torch.Generator().manual_seed(1)
    if model.input == "points":
        points = (batch, size, model.in_channels)
        return torch.rand(points, generator=generator, dtype=next(model.parameters()).dtype)
    shape = (batch, model.in_channels, size, size)
    shape = (steps, *shape) if model.input == "frames" else shape
    dtype = next(model.parameters()).dtype
    return torch.randn(shape, generator=generator, dtype=dtype)


def liven(model: SpikingModel, x: Tensor, *, gain: tuple[float, float] = (1.0, 2.0)) -> SpikingModel:
    """Non-trivial BatchNorm, so that neurons fire: a fresh network is almost silent in eval mode."""
    for head in model.modules():
        if isinstance(head, (FlatHead, AttendedHead, VotingHead)):
            # no BatchNorm stands between its layers and their neurons
            for layer in (m for m in head.modules() if isinstance(m, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.uniform_(layer.bias, 0.2, 0.6)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, *gain)
        nn.init.uniform_(norm.bias, 0.2, 0.6)
        norm.momentum = 1.0
    model.train()
    with torch.no_grad():
        for _ in range(4):
            model(x)
    for norm in norms:
        norm.momentum = 0.1
    return model
