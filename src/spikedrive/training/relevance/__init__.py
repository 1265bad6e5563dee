"""Which inputs an answer came from: layer-wise relevance propagation, and the augmentation that it guides."""

from spikedrive.training.relevance.frames import move_frames
from spikedrive.training.relevance.guided import EventRPG, drop_relevant, saliency
from spikedrive.training.relevance.mixing import mix_relevant, place_apart, relevant_boxes
from spikedrive.training.relevance.propagate import propagate_relevance
from spikedrive.training.relevance.rules import conserved, layer_relevance, share_of_held

__all__ = [
    "EventRPG", "conserved", "drop_relevant", "layer_relevance", "mix_relevant", "move_frames", "place_apart",
    "propagate_relevance", "relevant_boxes", "saliency", "share_of_held",
]  # fmt: skip
