"""The statistics of a race, and that its rounds are interleaved."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import pytest

from spikedrive.engine.measure import race as racing
from spikedrive.engine.measure.race import Spread, fastest, pinned, race, ratio


def test_the_spread_is_the_median_and_the_middle_half() -> None:
    assert Spread.of([9.0]) == Spread(9.0, 9.0, 9.0)
    assert Spread.of([5.0, 1.0, 100.0, 2.0, 3.0]) == Spread(3.0, 2.0, 5.0)


def test_a_ratio_is_taken_round_by_round() -> None:
    # the machine was ten times slower in the second round, for both
    found = ratio([2.0, 20.0, 2.2], [1.0, 10.0, 1.1])
    assert (found.median, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])


def test_every_round_runs_all_in_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(racing, "LEAST_SECONDS", 0.0)
    seen: list[str] = []
    turns: list[int] = []
    works = {name: lambda name=name: seen.append(name) for name in "abc"}
    seconds = race(works, 12, seed=1, progress=lambda: turns.append(1))
    # two calls of each to set up
    rounds = [tuple(seen[i : i + 3]) for i in range(6, len(seen), 3)]
    assert len(rounds) == 12 and all(sorted(each) == list("abc") for each in rounds)
    assert len(set(rounds)) > 2
    assert {name: len(found) for name, found in seconds.items()} == dict.fromkeys("abc", 12)
    assert len(turns) == 36


def test_the_same_seed_gives_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(racing, "LEAST_SECONDS", 0.0)

    def order(seed: int) -> list[str]:
        seen: list[str] = []
        race({name: lambda name=name: seen.append(name) for name in "abcd"}, 5, seed=seed)
        return seen

    assert order(3) == order(3) != order(4)


def test_a_race_by_another_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(racing, "LEAST_SECONDS", 0.0)
    ticks = iter(range(0, 100, 7))
    assert race({"work": lambda: None}, 3, clock=lambda: float(next(ticks))) == {"work": [7.0, 7.0, 7.0]}


def test_what_is_quick_is_repeated_within_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    # a clock that only the work moves, by a millisecond
    monkeypatch.setattr(racing, "time", SimpleNamespace(perf_counter=lambda: len(calls) / 1024))
    monkeypatch.setattr(racing, "LEAST_SECONDS", 20 / 1024)
    (second,) = race({"work": lambda: calls.append(1)}, 1)["work"]
    assert len(calls) > 20
    # of one call, not of the turn
    assert second == 1 / 1024


def test_the_fastest_is_found_and_what_is_far_behind_is_tried_once() -> None:
    calls: list[str] = []

    def work(name: str, seconds: float) -> None:
        calls.append(name)
        time.sleep(seconds)

    found = fastest({"slow": lambda: work("slow", 0.05), "quick": lambda: work("quick", 0.001)}, trials=4)
    assert found == "quick"
    assert (calls.count("slow"), calls.count("quick")) == (2, 5)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system pins no threads")
def test_threads_are_pinned_and_let_go() -> None:
    before = os.sched_getaffinity(0)
    with pinned(1):
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
    with pinned(10_000):
        assert os.sched_getaffinity(0) == before
