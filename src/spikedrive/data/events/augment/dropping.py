"""Events left out: some of all, those of a stretch of time, those of a part of the sensor."""

from __future__ import annotations

import math
from typing import final

import numpy as np
import torch

from spikedrive.data.events.augment.compose import Choose, Compose
from spikedrive.data.events.augment.draws import between, check_range, uniform
from spikedrive.data.events.events import Events


@final
class DropEvents:
    """Each event left out with a probability that is drawn from `share` for each clip.

    *Source*: Gu et al., EventDrop (IJCAI 2021), which leaves out exactly this share.
    """

    def __init__(self, share: tuple[float, float] = (0.1, 0.9)) -> None:
        self.share = check_range(share, "DropEvents got share", 0.0, 1.0)

    def __call__(self, events: Events, generator: torch.Generator) -> Events:
        """The events that are left."""
        share = between(*self.share, generator)
        return _kept(events, uniform(len(events), generator) >= share)


@final
class DropTime:
    """The events of a stretch of time left out, whose share of the duration is drawn from `share`.

    *Source*: EventDrop, drop by time.
    """

    def __init__(self, share: tuple[float, float] = (0.1, 0.9)) -> None:
        self.share = check_range(share, "DropTime got share", 0.0, 1.0)

    def __call__(self, events: Events, generator: torch.Generator) -> Events:
        """The events before and behind."""
        share, place = between(*self.share, generator), between(0, 1, generator)
        if not len(events):
            return events
        t = events.array["t"] - events.array["t"][0]
        whole = float(t[-1]) + 1
        start = place * (1 - share) * whole
        return _kept(events, (t < start) | (t >= start + share * whole))


@final
class DropArea:
    """The events of a rectangle left out, whose share of the sensor is drawn from `share`.

    Its ratio of width to height is drawn from 1/2 to 2, and it lies somewhere on the sensor.

    *Source*: EventDrop, drop by area, whose rectangles are as wide as the sensor is.
    """

    def __init__(self, share: tuple[float, float] = (0.05, 0.3)) -> None:
        self.share = check_range(share, "DropArea got share", 0.0, 1.0)

    def __call__(self, events: Events, generator: torch.Generator) -> Events:
        """The events around it."""
        left, top, right, bottom = self.box(events.width, events.height, generator)
        x, y = events.array["x"], events.array["y"]
        return _kept(events, (x < left) | (x >= right) | (y < top) | (y >= bottom))

    def box(self, width: int, height: int, generator: torch.Generator) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the rectangle that is drawn, the last two outside of it."""
        share, wider = between(*self.share, generator), 2 ** between(-0.5, 0.5, generator)
        across, down = between(0, 1, generator), between(0, 1, generator)
        side = math.sqrt(share)
        wide, tall = min(round(side * wider * width), width), min(round(side / wider * height), height)
        left, top = int(across * (width - wide + 1)), int(down * (height - tall + 1))
        return left, top, left + wide, top + tall


def event_drop() -> Choose:
    """EventDrop: nothing, or one of the three, each as likely, with the shares of its paper.

    *Source*: Gu et al., EventDrop: data augmentation for event-based learning, IJCAI 2021.
    """
    return Choose([Compose([]), DropEvents((0.1, 0.9)), DropTime((0.1, 0.9)), DropArea((0.05, 0.3))])


def _kept(events: Events, kept: np.ndarray) -> Events:
    return Events(events.array[kept], events.width, events.height)
