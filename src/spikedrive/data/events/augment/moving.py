"""Events moved over the sensor: flipped, shifted, turned, sheared, scaled, cut out. What leaves it is dropped."""

from __future__ import annotations

import math
from typing import final

import numpy as np
import torch

from spikedrive.data.events.augment.draws import between, check_range
from spikedrive.data.events.events import Events
from spikedrive.data.transforms.checks import check_share
from spikedrive.errors import ConfigError


def affine(*, angle: float = 0.0, scale: float = 1.0, shear: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """The matrix that scales, shears and then turns clockwise, as rows grow downwards.

    *Shapes*: (2, 2) float64, for columns (x, y).
    *Units*: angle in radians.

    >>> affine(angle=math.pi / 2).round(9).tolist()
    [[0.0, -1.0], [1.0, 0.0]]
    """
    turned = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return turned @ np.array([[1.0, shear[0]], [shear[1], 1.0]]) * scale


def move(events: Events, matrix: np.ndarray, shift: tuple[float, float] = (0.0, 0.0)) -> Events:
    """Each event at the nearest pixel to where the matrix, around the sensor's centre, and then the shift bring it.

    *Equation*: (x, y) <- round(M ((x, y) - c) + c + shift), c = ((W - 1) / 2, (H - 1) / 2).
    *Shapes*: matrix (2, 2).
    *Units*: shift in pixels.
    """
    centre = np.array([[(events.width - 1) / 2], [(events.height - 1) / 2]])
    places = np.stack([events.array["x"], events.array["y"]]).astype(np.float64)
    # what a matrix computes of halves would be rounded either way
    found = np.rint((matrix @ (places - centre) + centre + np.array(shift)[:, None]).round(9))
    return placed(events, found[0], found[1])


def placed(events: Events, x: np.ndarray, y: np.ndarray) -> Events:
    """The same events at other whole places, without those outside the sensor.

    *Shapes*: x and y (N,).
    """
    kept = (x >= 0) & (x < events.width) & (y >= 0) & (y < events.height)
    array = events.array[kept]
    array["x"], array["y"] = x[kept], y[kept]
    return Events(array, events.width, events.height)


@final
class RandomFlip:
    """Mirrored left to right with `horizontal`, upside down with `vertical` as the probability of each."""

    def __init__(self, horizontal: float = 0.5, vertical: float = 0.0) -> None:
        self.horizontal = check_share(horizontal, "RandomFlip got horizontal")
        self.vertical = check_share(vertical, "RandomFlip got vertical")

    def __call__(self, events: Events, generator: torch.Generator) -> Events:
        """The events, perhaps mirrored."""
        across, down = (between(0, 1, generator) < share for share in (self.horizontal, self.vertical))
        return move(events, np.diag([-1.0 if across else 1.0, -1.0 if down else 1.0]))


@final
class RandomShift:
    """Shifted by up to the share `most` of the sensor, either way, in whole pixels."""

    def __init__(self, most: float = 0.2) -> None:
        self.most = check_share(most, "RandomShift got most")

    def __call__(self, events: Events, generator: torch.Generator) -> Events:
        """The events elsewhere."""
        sides = (events.width, events.height)
        x, y = (round(between(-self.most, self.most, generator) * side) for side in sides)
        return move(events, np.eye(2), (x, y))


@final
class RandomRotate:
    """Turned around the sensor's centre by up to so many degrees, either way."""

    def __init__(self, degrees: float = 15.0) -> None:
        self.degrees = check_range((0.0, degrees), "RandomRotate got degrees", 0.0, 180.0)[1]

    def __call__(self, events: Events, generator: torch.Generator) -> Events:
        """The turned events."""
        return move(events, affine(angle=math.radians(between(-self.degrees, self.degrees, generator))))


@final
class RandomShear:
    """Sheared along one of the axes by up to `most` of the distance to the centre, either way."""

    def __init__(self, most: float = 0.3) -> None:
        self.most = check_range((0.0, most), "RandomShear got most", 0.0)[1]

    def __call__(self, events: Events, generator: torch.Generator) -> Events:
        """The sheared events."""
        by, along_x = between(-self.most, self.most, generator), between(0, 1, generator) < 0.5
        return move(events, affine(shear=(by, 0.0) if along_x else (0.0, by)))


@final
class RandomScale:
    """Larger or smaller around the sensor's centre, by a factor drawn from `scale`."""

    def __init__(self, scale: tuple[float, float] = (0.5, 1.5)) -> None:
        self.scale = check_range(scale, "RandomScale got scale", 1e-3)

    def __call__(self, events: Events, generator: torch.Generator) -> Events:
        """The scaled events."""
        return move(events, affine(scale=between(*self.scale, generator)))


@final
class RandomCrop:
    """A window of width x height pixels somewhere on the sensor, which becomes the sensor.

    *Raises*: ConfigError for a window larger than the sensor.
    """

    def __init__(self, width: int, height: int) -> None:
        if min(width, height) < 1:
            raise ConfigError(
                f"RandomCrop got {width} x {height}; it takes pixels of at least 1. Correct them."
            )
        self.width, self.height = width, height

    def __call__(self, events: Events, generator: torch.Generator) -> Events:
        """The events in the window."""
        if self.width > events.width or self.height > events.height:
            raise ConfigError(
                f"RandomCrop got a sensor of {events.width} x {events.height} for a window of {self.width} x "
                f"{self.height}; the window fits into the sensor. Make it smaller."
            )
        corner = [
            int(torch.randint(room + 1, (), generator=generator))
            for room in (events.width - self.width, events.height - self.height)
        ]
        x, y = (events.array[name].astype(np.int64) - first for name, first in zip("xy", corner, strict=True))
        return placed(Events(events.array, self.width, self.height), x, y)
