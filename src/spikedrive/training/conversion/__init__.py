"""Conversion: a trained artificial network becomes a spiking one, with a prediction of what that costs."""

from spikedrive.training.conversion.ceilings import Method, choose_ceiling
from spikedrive.training.conversion.convert import Spikes, convert
from spikedrive.training.conversion.measure import measure
from spikedrive.training.conversion.network import ConvertedNetwork
from spikedrive.training.conversion.results import Conversion, LayerError, Left, StepsCost

__all__ = [
    "Conversion", "ConvertedNetwork", "LayerError", "Left", "Method", "Spikes", "StepsCost", "choose_ceiling",
    "convert", "measure",
]  # fmt: skip
