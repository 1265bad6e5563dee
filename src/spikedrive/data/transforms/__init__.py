"""Augmentation of whole batches in torch; all randomness comes from an explicit generator."""

from spikedrive.data.transforms.compose import Compose, normalise
from spikedrive.data.transforms.geometry import RandomCrop, RandomErase, RandomHorizontalFlip

__all__ = ["Compose", "RandomCrop", "RandomErase", "RandomHorizontalFlip", "normalise"]
