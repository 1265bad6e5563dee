"""Augmentation of whole batches in torch; all randomness comes from an explicit generator."""

from spikedrive.data.transforms.autoaugment import AutoAugment
from spikedrive.data.transforms.compose import Compose, normalise
from spikedrive.data.transforms.geometry import (
    RandomCrop,
    RandomErase,
    RandomHorizontalFlip,
    RandomResizedCrop,
)
from spikedrive.data.transforms.mixing import CutMix, Mixup, OneOf, one_hot
from spikedrive.data.transforms.randaugment import RandAugment

__all__ = [
    "AutoAugment", "Compose", "CutMix", "Mixup", "OneOf", "RandAugment", "RandomCrop", "RandomErase",
    "RandomHorizontalFlip", "RandomResizedCrop", "normalise", "one_hot",
]  # fmt: skip
