"""Pyramids and columns of token mixers and channel mixers: spiking transformers and spiking MLPs."""

from spikedrive.models.metaformers import meta_spikeformer, spike_driven_transformer, spikformer

__all__ = ["meta_spikeformer", "spike_driven_transformer", "spikformer"]
