"""Losses that are added to a task's own."""

from spikedrive.training.losses.anytime import anytime_loss, drift, record_drift, spread
from spikedrive.training.losses.similarity import record_attention, similarity_distillation

__all__ = [
    "anytime_loss",
    "drift",
    "record_attention",
    "record_drift",
    "similarity_distillation",
    "spread",
]
