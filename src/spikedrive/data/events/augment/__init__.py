"""Augmentation of events before they are binned; all randomness comes from an explicit generator."""

from spikedrive.data.events.augment.compose import Choose, Compose, EventTransform
from spikedrive.data.events.augment.dropping import DropArea, DropEvents, DropTime, event_drop
from spikedrive.data.events.augment.jitter import FlipPolarity, SpatialJitter, TimeJitter
from spikedrive.data.events.augment.mixing import MixArea, MixTime, mix_area, mix_time
from spikedrive.data.events.augment.moving import (
    RandomCrop,
    RandomFlip,
    RandomRotate,
    RandomScale,
    RandomShear,
    RandomShift,
    affine,
    move,
)

__all__ = [
    "Choose", "Compose", "DropArea", "DropEvents", "DropTime", "EventTransform", "FlipPolarity", "MixArea", "MixTime",
    "RandomCrop", "RandomFlip", "RandomRotate", "RandomScale", "RandomShear", "RandomShift", "SpatialJitter",
    "TimeJitter", "affine", "event_drop", "mix_area", "mix_time", "move",
]  # fmt: skip
