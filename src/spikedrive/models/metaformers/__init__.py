"""Pyramids and columns of token mixers and channel mixers: spiking transformers and spiking MLPs."""

from spikedrive.models.metaformers import (
    e_spikeformer,
    e_spikeformer_large,
    masked_spiking_transformer,
    meta_spikeformer,
    qsd_transformer,
    spike_driven_transformer,
    spike_video_former,
    spikformer,
    spikformer_v2,
    spiking_mlp,
)

__all__ = [
    "e_spikeformer",
    "e_spikeformer_large",
    "masked_spiking_transformer",
    "meta_spikeformer",
    "qsd_transformer",
    "spike_driven_transformer",
    "spike_video_former",
    "spikformer",
    "spikformer_v2",
    "spiking_mlp",
]
