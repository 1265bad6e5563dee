"""Causal language models: token ids in, logits for the next token out."""

from spikedrive.models.language import gpt, spikegpt, spiking_lm

__all__ = ["gpt", "spikegpt", "spiking_lm"]
