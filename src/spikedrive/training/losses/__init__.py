"""Losses that are added to a task's own."""

from spikedrive.training.losses.anytime import anytime_loss, drift, record_drift, spread
from spikedrive.training.losses.similarity import record_attention, similarity_distillation
from spikedrive.training.losses.transfer import (
    TransferLoss,
    as_event_frames,
    linear_cka,
    slide,
    sliding_share,
)

__all__ = [
    "TransferLoss", "anytime_loss", "as_event_frames", "drift", "linear_cka", "record_attention", "record_drift",
    "similarity_distillation", "slide", "sliding_share", "spread",
]  # fmt: skip
