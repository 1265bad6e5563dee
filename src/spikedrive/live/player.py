"""A recording at its own speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from spikedrive.data.events import Slice
from spikedrive.errors import ConfigError


@dataclass(frozen=True)
class Played:
    """A slice that was given.

    *Units*: `behind` in seconds, how long after its due time, because whoever took the one before was slow. Nothing is
    ever left out.
    """

    part: Slice
    behind: float


class Player:
    """Gives each slice when it would be complete: at its end on the recording's clock, `speed` times as fast.

    A speed of 0 does not wait at all. `clock` gives seconds and `wait` sleeps for some: those of the machine unless
    told otherwise; a wait that gives True ends the iteration.

    *Raises*: ConfigError for a negative speed.
    """

    def __init__(
        self, slices: Iterable[Slice], *, speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic, wait: Callable[[float], bool | None] | None = None,
    ) -> None:  # fmt: skip
        if not 0 <= speed < float("inf"):
            raise ConfigError(
                f"Player got speed={speed}; it takes a number of at least 0: 1 is as it was recorded, 0 as fast as can "
                "be. Change it."
            )
        self._slices, self._speed, self._clock = slices, speed, clock
        self._wait = wait or time.sleep

    def __iter__(self) -> Iterator[Played]:
        began = self._clock()
        start: int | None = None
        for part in self._slices:
            behind = 0.0
            start = part.start if start is None else start
            if self._speed:
                due = began + (part.end - start) / 1e6 / self._speed
                left = due - self._clock()
                # a wait that says True was told to stop
                if left > 0 and self._wait(left):
                    return
                behind = max(0.0, self._clock() - due)
            yield Played(part, behind)
