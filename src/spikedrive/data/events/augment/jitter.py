"""Noise: in time, in place, in polarity."""

from __future__ import annotations

from typing import final

import numpy as np
import torch

from spikedrive.data.events.augment.draws import between, check_range, normal
from spikedrive.data.events.augment.moving import placed
from spikedrive.data.events.events import Events
from spikedrive.data.transforms.checks import check_share


@final
class TimeJitter:
    """Each time moved by noise of this deviation, in whole microseconds, and none before the clip's first.

    Events are put in order again; those of one time stay as they were.

    *Units*: deviation in microseconds.
    """

    def __init__(self, deviation: float) -> None:
        self.deviation = check_range((0.0, deviation), "TimeJitter got deviation", 0.0)[1]

    def __call__(self, events: Events, generator: torch.Generator) -> Events:
        """The events at other times."""
        noise = np.rint(normal(len(events), generator) * self.deviation).astype(np.int64)
        if not len(events):
            return events
        array = events.array.copy()
        array["t"] = np.maximum(array["t"] + noise, events.array["t"][0])
        return Events(array[np.argsort(array["t"], kind="stable")], events.width, events.height)


@final
class SpatialJitter:
    """Each event moved by noise of this deviation in x and in y, in whole pixels; what leaves the sensor is dropped.

    *Units*: deviation in pixels.
    """

    def __init__(self, deviation: float) -> None:
        self.deviation = check_range((0.0, deviation), "SpatialJitter got deviation", 0.0)[1]

    def __call__(self, events: Events, generator: torch.Generator) -> Events:
        """The events nearby."""
        x, y = (
            events.array[name] + np.rint(normal(len(events), generator) * self.deviation)
            for name in ("x", "y")
        )
        return placed(events, x, y)


@final
class FlipPolarity:
    """Brighter for darker and darker for brighter in all of a clip, with `probability`."""

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = check_share(probability, "FlipPolarity got probability")

    def __call__(self, events: Events, generator: torch.Generator) -> Events:
        """The events, perhaps as of a negative."""
        array = events.array.copy()
        if between(0, 1, generator) < self.probability:
            array["p"] = 1 - array["p"]
        return Events(array, events.width, events.height)
