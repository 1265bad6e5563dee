"""Times in interleaved rounds, so that a slower minute of the machine slows everybody."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

Work = Callable[[], Any]

LEAST_SECONDS = 0.05
"""Of one turn: what is quicker is repeated within it."""


@dataclass(frozen=True)
class Spread:
    """A median with the quartiles on both sides: between these lies the middle half."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """That of at least one value.

        >>> Spread.of([4.0, 1.0, 3.0, 2.0, 5.0])
        Spread(median=3.0, low=2.0, high=4.0)
        """
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(middle, low, high)


def race(
    works: Mapping[str, Work],
    rounds: int,
    *,
    seed: int = 0,
    progress: Callable[[], None] | None = None,
    clock: Callable[[], float] | None = None,
) -> dict[str, list[float]]:
    """Seconds of one call of each work in each round; `progress` is called after every turn.

    Every round runs all of them in an order of its own, drawn from `seed`: what ran before leaves the caches
    to what runs next. A first call of each, which sets up what is kept, is not timed. With
    `clock=time.process_time` they are seconds of the processor, which others on the machine take none of.
    """
    repeats = {name: _repeats(work) for name, work in works.items()}
    seconds: dict[str, list[float]] = {name: [] for name in works}
    order, draw = list(works), random.Random(seed)
    for _ in range(rounds):
        draw.shuffle(order)
        for name in order:
            seconds[name].append(_seconds(works[name], repeats[name], clock))
            if progress is not None:
                progress()
    return seconds


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> Spread:
    """How many times as long they take, round by round; above 1 ours is faster.

    >>> ratio([4.0, 9.0], [2.0, 3.0]).median
    2.5
    """
    return Spread.of([t / o for t, o in zip(theirs, ours, strict=True)])


CLOSE = 1.3
"""A work this many times as slow as the fastest is not tried again."""


def fastest(works: Mapping[str, Work], *, trials: int = 3) -> str:
    """The work with the shortest of `trials` calls, after one that is not timed; one far behind has one trial only."""
    for work in works.values():
        work()
    best = {name: _seconds(work, 1) for name, work in works.items()}
    close = [name for name, second in best.items() if second <= CLOSE * min(best.values())]
    for name in close * (trials - 1):
        best[name] = min(best[name], _seconds(works[name], 1))
    return min(best, key=lambda name: best[name])


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """This thread, and those that it starts, on the first `threads` processors that it may use."""
    # other systems have no such call
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if len(allowed) <= threads:
        yield
        return
    os.sched_setaffinity(0, sorted(allowed)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _repeats(work: Work) -> int:
    work()
    return max(1, int(LEAST_SECONDS / max(_seconds(work, 1), 1e-9)))


def _seconds(work: Work, repeats: int, clock: Callable[[], float] | None = None) -> float:
    clock = clock or time.perf_counter
    start = clock()
    for _ in range(repeats):
        work()
    return (clock() - start) / repeats
