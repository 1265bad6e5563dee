"""Transforms in a row, or one of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import torch

from spikedrive.data.events.events import Events
from spikedrive.errors import ConfigError

EventTransform = Callable[[Events, torch.Generator], Events]
"""`t(events, generator) -> events`: all randomness comes from the generator; the events that came are not changed."""


@final
class Compose:
    """Transforms one after the other; one that would leave no event of a clip leaves it as it was.

    A crop without events stays one, as the clip does not fit on the smaller sensor.

    >>> Compose([])(Events.of([3], [0], [0], [1], width=1, height=1), torch.Generator()).array["t"].tolist()
    [3]
    """

    def __init__(self, transforms: Sequence[EventTransform]) -> None:
        self.transforms = tuple(transforms)

    def __call__(self, events: Events, generator: torch.Generator) -> Events:
        """The events after every transform."""
        for transform in self.transforms:
            found = transform(events, generator)
            smaller = (found.width, found.height) != (events.width, events.height)
            events = found if len(found) or smaller else events
        return events


@final
class Choose:
    """One of several transforms, each as likely as the others; one that would leave no event leaves the clip as it was.

    `Compose([])` stands for none.

    *Raises*: ConfigError for no transform at all.
    """

    def __init__(self, transforms: Sequence[EventTransform]) -> None:
        if not transforms:
            raise ConfigError(
                "Choose got no transforms; it takes at least one. Name them, or leave Choose out."
            )
        self.transforms = tuple(transforms)

    def __call__(self, events: Events, generator: torch.Generator) -> Events:
        """What the transform that was drawn gives."""
        chosen = int(torch.randint(len(self.transforms), (), generator=generator))
        return Compose([self.transforms[chosen]])(events, generator)
