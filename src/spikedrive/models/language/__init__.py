"""Causal language models: token ids in, logits for the next token out."""

from spikedrive.models.language import egru_lm, gpt, spikegpt, spiking_lm

__all__ = ["egru_lm", "gpt", "spikegpt", "spiking_lm"]
