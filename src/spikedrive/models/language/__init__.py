"""Models of text: token ids in; logits for the next token out, or for the class of a text."""

from spikedrive.models.language import egru_lm, gpt, spikegpt, spikelm, spiking_lm

__all__ = ["egru_lm", "gpt", "spikegpt", "spikelm", "spiking_lm"]
