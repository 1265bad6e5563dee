"""How clips of two cameras become what a network takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from spikedrive.data.events.events import Events
from spikedrive.data.events.paired.clips import PairedClip, Pictures
from spikedrive.data.events.reading import MOST, FrameReader
from spikedrive.errors import ConfigError, DataError

CAMERAS = ("rgb", "events")


@dataclass(frozen=True)
class PairedReader:
    """Frames of the asked cameras, their channels side by side, in the order of `inputs`.

    A clip of N pictures is divided into `steps` parts of one length, and step t shows the picture in the middle of part
    t: one picture alone is shown at every step. Pictures are averaged to the frame and go from 0 (black, as where
    no event is) to 1. Events are counted as `FrameReader` does; pictures of events are read as the others.

    *Shapes*: clips -> (steps, B, C, height, width) fp32, C = 3 for "rgb", 2 for events, 3 for pictures of them.
    *Units*: window in microseconds.
    *Raises*: ConfigError for numbers below 1, or cameras that are none; DataError for clips without pictures, or with
    events where pictures of them are expected, or the reverse.

    >>> clip = PairedClip(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8),
    ...     Events.of([0, 9], [0, 1], [0, 1], [1, 0], width=2, height=2))
    >>> PairedReader(steps=2, width=1, height=1)([clip])[:, 0, :, 0, 0].tolist()
    [[1.0, 1.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0, 0.0]]
    """

    steps: int
    width: int
    height: int
    inputs: tuple[str, ...] = CAMERAS
    event_channels: int = 2
    window: int | None = None
    levels: int = MOST

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))
        if not self.inputs or set(self.inputs) - set(CAMERAS) or len(set(self.inputs)) < len(self.inputs):
            raise ConfigError(
                f"PairedReader got inputs={self.inputs}; it takes one or both of {', '.join(CAMERAS)}, each once. "
                "Change inputs."
            )
        if self.event_channels not in (2, 3):
            raise ConfigError(
                f"PairedReader got event_channels={self.event_channels}; it takes 2 for events, or 3 for pictures of "
                "them. Change event_channels."
            )
        # which refuses numbers that do not fit
        object.__setattr__(
            self, "_frames", FrameReader(self.steps, self.width, self.height, self.window, self.levels)
        )

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> PairedReader:
        """The reader that `record` came from.

        *Raises*: ConfigError for a record of something else.
        """
        fields = dict(record)
        kind = fields.pop("kind", None)
        try:
            if kind == "paired":
                return cls(**fields)
        except TypeError:
            kind = "paired, with other fields"
        raise ConfigError(
            f"The record of how two cameras are read is of the kind {kind!r}; one of PairedReader(...).record is "
            "taken. Correct it, or train with this version."
        )

    @property
    def record(self) -> dict[str, Any]:
        """JSON values from which `of_record` makes this reader again."""
        return {"kind": "paired", **asdict(self), "inputs": list(self.inputs)}

    def __call__(self, clips: Sequence[PairedClip], seed: int = 0) -> Tensor:
        """The frames of each clip; nothing is drawn."""
        parts = [
            self._colour([clip.rgb for clip in clips]) if camera == "rgb" else self._events(clips)
            for camera in self.inputs
        ]
        return torch.cat(parts, 2)

    def _events(self, clips: Sequence[PairedClip]) -> Tensor:
        seen = [clip.events for clip in clips]
        events = [each for each in seen if isinstance(each, Events)]
        pictures = [each for each in seen if not isinstance(each, Events)]
        if len(events if self.event_channels == 2 else pictures) < len(clips):
            kinds = ("events", "pictures of events")
            expected, came = kinds if self.event_channels == 2 else kinds[::-1]
            raise DataError(
                f"PairedReader got clips with {came} where {expected} are taken, as event_channels="
                f"{self.event_channels} says. Use a network that was trained on such clips."
            )
        return self._frames(events) if self.event_channels == 2 else self._colour(pictures)  # type: ignore[attr-defined]

    def _colour(self, clips: Sequence[Pictures]) -> Tensor:
        shown = torch.empty(self.steps, len(clips), 3, self.height, self.width)
        for k, pictures in enumerate(clips):
            if not len(pictures):
                raise DataError(
                    f"Clip {k} of a batch has no pictures; at least one is taken. Leave the clip out, or copy it again."
                )
            middle = (torch.arange(self.steps) + 0.5) * len(pictures) / self.steps
            which, again = torch.unique(middle.long(), return_inverse=True)
            small = F.adaptive_avg_pool2d(pictures[which].float(), (self.height, self.width))
            shown[:, k] = small[again] / 255
        return shown
