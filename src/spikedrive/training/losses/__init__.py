"""Losses that are added to a task's own."""

from spikedrive.training.losses.similarity import record_attention, similarity_distillation

__all__ = ["record_attention", "similarity_distillation"]
