"""How clips of events become what a network takes; a checkpoint says it, so that every later input is read alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from spikedrive.data.events.batch import batch_events
from spikedrive.data.events.events import Events
from spikedrive.errors import ConfigError, DataError
from spikedrive.ops.events import frames, points


class Reader(Protocol):
    """From clips to what a model takes; its record is kept in checkpoints, for `read_record`."""

    @property
    def record(self) -> dict[str, Any]: ...

    def __call__(self, clips: Sequence[Events], seed: int = 0) -> Tensor: ...


MOST = 255
"""The largest count: one byte, which the engine takes."""


@dataclass(frozen=True)
class FrameReader:
    """Frames of counts: how many events of each polarity fell on each pixel in each step.

    With `window` (microseconds) step t counts the events of t window <= time < (t + 1) window from the clip's start on,
    and later ones are left out; with None a clip's whole duration is divided by `steps`. Where the sensor is larger
    than the frame its pixels are gathered: column x counts in x width // sensor width. A count is at most `levels`.

    *Shapes*: clips -> (steps, B, 2, height, width) fp32, integers 0..levels.
    *Raises*: ConfigError for sizes that are not positive, or levels beyond 255; DataError for a sensor that is smaller
    than the frame.

    >>> reader = FrameReader(steps=2, width=2, height=1, window=10)
    >>> clip = Events.of([0, 5, 12], [0, 1, 3], [0, 0, 0], [1, 1, 0], width=4, height=1)
    >>> reader([clip])[:, 0].tolist()
    [[[[0.0, 0.0]], [[2.0, 0.0]]], [[[0.0, 1.0]], [[0.0, 0.0]]]]
    """

    steps: int
    width: int
    height: int
    window: int | None = None
    levels: int = MOST

    def __post_init__(self) -> None:
        for name in ("steps", "width", "height", "window", "levels"):
            value = getattr(self, name)
            if value is None and name == "window":
                continue
            most = MOST if name == "levels" else None
            if not isinstance(value, int) or isinstance(value, bool) or value < 1 or (most and value > most):
                limit = f"from 1 to {most}" if most else "of at least 1"
                raise ConfigError(
                    f"FrameReader got {name}={value!r}; it takes a whole number {limit}. Change {name}."
                )

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> FrameReader:
        """The reader that `record` came from.

        *Raises*: ConfigError for a record of something else.
        """
        fields = dict(record)
        if fields.pop("kind", None) != "frames":
            raise ConfigError(
                f"The record of how events are read is {dict(record)!r}; one of the kind 'frames' is taken. Train with "
                "this version, or write it with FrameReader(...).record."
            )
        try:
            return cls(**fields)
        except TypeError as error:
            raise ConfigError(
                f"The record of how events are read does not fit ({error}); it is that of FrameReader(...).record. "
                "Correct it."
            ) from error

    @property
    def record(self) -> dict[str, Any]:
        """JSON values from which `of_record` makes this reader again."""
        return {"kind": "frames", **asdict(self)}

    def __call__(self, clips: Sequence[Events], seed: int = 0) -> Tensor:
        """The frames of each clip; nothing is drawn."""
        if not clips:
            return torch.zeros(self.steps, 0, 2, self.height, self.width)
        batch = batch_events(clips)
        self._check_sensor(batch.width, batch.height)
        gathered = replace(
            batch,
            x=batch.x * self.width // batch.width,
            y=batch.y * self.height // batch.height,
            # with a window the clip's own clock counts, not its first event
            begin=batch.begin if self.window is None else torch.zeros_like(batch.begin),
            width=self.width,
            height=self.height,
        )
        return frames(gathered, steps=self.steps, bin=self.window, levels=self.levels)

    def step(self, events: Events) -> np.ndarray:
        """One frame of all these events, whatever their times, as a live input takes it.

        *Shapes*: -> (1, 2, height, width) uint8.
        """
        self._check_sensor(events.width, events.height)
        shape = (1, 2, self.height, self.width)
        if not len(events):
            return np.zeros(shape, np.uint8)
        # for the few events of a slice this is less work than a batch of clips
        array = events.array
        x, y = array["x"].astype(np.int64), array["y"].astype(np.int64)
        x, y = x * self.width // events.width, y * self.height // events.height
        place = (array["p"] * self.height + y) * self.width + x
        counts = np.bincount(place, minlength=2 * self.height * self.width)
        return np.minimum(counts, self.levels).astype(np.uint8).reshape(shape)

    def _check_sensor(self, width: int, height: int) -> None:
        if width < self.width or height < self.height:
            raise DataError(
                f"Events of a sensor of {width} x {height} came for frames of {self.width} x {self.height}; a sensor "
                "as large or larger is taken. Use a network for smaller frames."
            )


@dataclass(frozen=True)
class PointReader:
    """Points of each clip: x, y and t of so many of its events between 0 and 1, drawn by the seed.

    *Shapes*: clips -> (B, number, 3) fp32, or 4 with `polarity`.
    *Raises*: ConfigError for a number below 1.

    >>> clip = Events.of([0, 5, 10], [0, 1, 3], [0, 1, 0], [1, 1, 0], width=4, height=2)
    >>> PointReader(number=3)([clip])[0].tolist()[1]
    [0.3333333432674408, 1.0, 0.5]
    """

    number: int
    polarity: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.number, int) or isinstance(self.number, bool) or self.number < 1:
            raise ConfigError(
                f"PointReader got number={self.number!r}; it takes a whole number of at least 1. Change number."
            )

    @property
    def record(self) -> dict[str, Any]:
        """JSON values from which `read_record` makes this reader again."""
        return {"kind": "points", **asdict(self)}

    def __call__(self, clips: Sequence[Events], seed: int = 0) -> Tensor:
        """The points of each clip."""
        # each clip by itself, so that its points do not depend on those beside it
        drawn = [
            points(batch_events([clip]), number=self.number, polarity=self.polarity, seed=seed).points
            for clip in clips
        ]
        return torch.cat([torch.zeros(0, self.number, 4 if self.polarity else 3), *drawn])


def read_record(record: Mapping[str, Any]) -> FrameReader | PointReader:
    """The reader of events that `record` came from.

    *Raises*: ConfigError for a record of something else.
    """
    fields = dict(record)
    if fields.pop("kind", None) != "points":
        return FrameReader.of_record(record)
    try:
        return PointReader(**fields)
    except TypeError as error:
        raise ConfigError(
            f"The record of how events are read does not fit ({error}); it is that of PointReader(...).record. "
            "Correct it."
        ) from error
