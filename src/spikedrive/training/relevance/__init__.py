"""Which inputs an answer came from: layer-wise relevance propagation through spiking networks."""

from spikedrive.training.relevance.propagate import propagate_relevance
from spikedrive.training.relevance.rules import conserved, layer_relevance, share_of_held

__all__ = ["conserved", "layer_relevance", "propagate_relevance", "share_of_held"]
