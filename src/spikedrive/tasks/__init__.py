"""Tasks: for each one its loss, its metric and how an answer is read."""

from spikedrive.tasks import anytime, classify, flow, lm
from spikedrive.tasks.masked import MaskedAutoencoder, masked_loss
from spikedrive.tasks.visible import VisibleOnly

__all__ = ["MaskedAutoencoder", "VisibleOnly", "anytime", "classify", "flow", "lm", "masked_loss"]
