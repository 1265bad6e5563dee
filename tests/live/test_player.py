"""A recording at its own speed, on a clock that the test turns."""

from __future__ import annotations

import pytest

from event_training import WINDOW, moving_bar
from spikedrive.data.events import Events, slice_by_time
from spikedrive.errors import ConfigError
from spikedrive.live import Player


class Clock:
    """Seconds that pass while somebody waits or works."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return self.now > 100.1


def parts(events: Events | None = None):
    return slice_by_time(events or moving_bar(True, 0), WINDOW, start=0, include_incomplete=True)


@pytest.mark.parametrize("speed", [1.0, 0.5, 4.0])
def test_slices_come_when_they_are_complete(speed: float) -> None:
    clock = Clock()
    came = [
        (played.part.end, clock.now, played.behind)
        for played in Player(parts(), speed=speed, clock=clock, wait=lambda left: clock.wait(left) and False)
    ]
    assert [end for end, _, _ in came] == [WINDOW * k for k in range(1, 7)]
    assert [now for _, now, _ in came] == pytest.approx([100 + end / 1e6 / speed for end, _, _ in came])
    assert [behind for _, _, behind in came] == pytest.approx([0] * 6)


def test_who_is_slow_falls_behind_and_catches_up() -> None:
    clock, behind = Clock(), []
    for played in Player(parts(), clock=clock, wait=lambda left: clock.wait(left) and False):
        behind.append(played.behind)
        # two windows of work on the second slice, nothing on the others
        clock.now += 0.010 if len(behind) == 2 else 0.0
    assert behind == pytest.approx([0, 0, 0.005, 0, 0, 0])


def test_a_wait_that_is_told_to_stop_ends_it() -> None:
    clock = Clock()
    assert len(list(Player(parts(), speed=0.1, clock=clock, wait=clock.wait))) == 2


def test_a_speed_of_zero_does_not_wait() -> None:
    def never(_seconds: float) -> bool:
        raise AssertionError

    assert len(list(Player(parts(), speed=0, wait=never))) == 6
    with pytest.raises(ConfigError, match="speed=-1; it takes a number of at least 0"):
        Player(parts(), speed=-1)
