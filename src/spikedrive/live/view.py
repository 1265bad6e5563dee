"""What a view of a live input shows, as one JSON value a slice."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from spikedrive.data.events import Events
from spikedrive.live.player import Played
from spikedrive.live.session import Answer

LARGEST = 256
"""Pixels of the longer side of a picture at the most."""


def picture(events: Events, largest: int = LARGEST) -> np.ndarray:
    """What happened on each pixel: 0 nothing, 1 darker, 2 brighter, 3 both.

    A sensor larger than `largest` is gathered into as many pixels.

    *Shapes*: (h, w) uint8.
    """
    scale = max(1, -(-max(events.width, events.height) // largest))
    seen = np.zeros((-(-events.height // scale), -(-events.width // scale)), np.uint8)
    array = events.array
    for polarity in (0, 1):
        chosen = array[array["p"] == polarity]
        seen[chosen["y"] // scale, chosen["x"] // scale] |= np.uint8(1 + polarity)
    return seen


def message(played: Played, answer: Answer, totals: Totals) -> dict[str, Any]:
    """JSON values for a page; the picture packed to two bits a pixel, four pixels a byte, row by row."""
    part = played.part
    seen = picture(part.events)
    flat = np.zeros(-(-seen.size // 4) * 4, np.uint8)
    flat[: seen.size] = seen.ravel()
    fours = flat.reshape(-1, 4)
    packed = fours[:, 0] | fours[:, 1] << 2 | fours[:, 2] << 4 | fours[:, 3] << 6
    return {
        "time": part.end, "events": len(part.events), "total_events": totals.events, "width": seen.shape[1],
        "height": seen.shape[0], "picture": base64.b64encode(packed.tobytes()).decode("ascii"),
        "scores": [round(float(score), 5) for score in answer.scores], "firing_rate": answer.firing_rate,
        "joules": answer.joules, "total_joules": totals.joules, "milliseconds": 1e3 * answer.seconds,
        "behind_milliseconds": 1e3 * played.behind,
    }  # fmt: skip


class Totals:
    """What was seen and spent since the start.

    *Units*: joules by the meter's table; seconds of each answer, the last `KEPT`.
    """

    KEPT = 1000

    def __init__(self) -> None:
        self.slices = self.events = 0
        self.joules: float | None = None
        self.seconds: list[float] = []

    def add(self, answer: Answer) -> None:
        """One more answer."""
        self.slices += 1
        self.events += answer.events
        if answer.joules is not None:
            self.joules = (self.joules or 0.0) + answer.joules
        self.seconds.append(answer.seconds)
        del self.seconds[: -self.KEPT]

    def latency(self, share: float) -> float:
        """The seconds that this share of the last answers took at the most; 0 before the first."""
        return float(np.quantile(self.seconds, share)) if self.seconds else 0.0

    def summary(self, scores: np.ndarray | None, names: Sequence[str]) -> dict[str, Any]:
        """JSON values at the end."""
        best = None if scores is None else int(scores.argmax())
        return {
            "slices": self.slices, "events": self.events, "joules": self.joules,
            "median_milliseconds": 1e3 * self.latency(0.5), "p99_milliseconds": 1e3 * self.latency(0.99),
            "answer": None if best is None else names[best],
        }  # fmt: skip
