"""SpikeLLM: a trained language model with linear layers of few bits, in which salient channels spike more often."""

from spikedrive.training.spikellm.convert import (
    Moments,
    average_bits,
    convert_language_model,
    linear_layers,
    observe,
    spike_linear,
)
from spikedrive.training.spikellm.format import AverageBits, Format
from spikedrive.training.spikellm.linear import Fired, SpikingLinear
from spikedrive.training.spikellm.weights import QuantisedWeight, quantise_weight

__all__ = [
    "AverageBits", "Fired", "Format", "Moments", "QuantisedWeight", "SpikingLinear", "average_bits",
    "convert_language_model", "linear_layers", "observe", "quantise_weight", "spike_linear",
]  # fmt: skip
