"""Binned events: no event is lost, none counted twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikedrive.encoders import BinnedEvents
from spikedrive.errors import ConfigError, ShapeError, UnknownNameError, ValueRangeError


def recording(count: int, seed: int = 0, height: int = 5, width: int = 7) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 10_000, count))
    return np.stack(
        [t, rng.integers(0, width, count), rng.integers(0, height, count), rng.integers(0, 2, count)], 1
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 300), st.integers(1, 12), st.sampled_from(["time", "count"]), st.integers(0, 99))
def test_every_event_is_counted_once(count, steps, by, seed) -> None:
    events = recording(count, seed)
    frames = BinnedEvents(5, 7, steps=steps, by=by)(events)
    assert frames.shape == (steps, 2, 5, 7)
    assert frames.sum() == count
    for p in (0, 1):
        assert frames[:, p].sum() == (events[:, 3] == p).sum()


def test_an_event_lies_in_its_bin_at_its_place() -> None:
    events = np.array([[0, 6, 4, 1], [10, 0, 0, 0], [99, 3, 2, 1], [100, 3, 2, 1]])
    frames = BinnedEvents(5, 7, steps=10)(events)
    assert {tuple(i) for i in frames.nonzero().tolist()} == {(0, 1, 4, 6), (1, 0, 0, 0), (9, 1, 2, 3)}
    assert frames[9, 1, 2, 3] == 2


def test_bins_of_equal_count_differ_by_one_at_most() -> None:
    frames = BinnedEvents(5, 7, steps=6, by="count")(recording(100))
    per_bin = frames.sum((1, 2, 3))
    assert per_bin.max() - per_bin.min() <= 1


def test_bins_of_a_given_size_start_at_the_first_event_and_drop_the_rest() -> None:
    events = np.stack([np.arange(50, 150, 10), *np.zeros((3, 10), dtype=int)], 1)
    assert BinnedEvents(1, 1, steps=3, bin=25)(events).sum((1, 2, 3)).tolist() == [3, 2, 3]
    assert BinnedEvents(1, 1, steps=3, by="count", bin=4)(events).sum((1, 2, 3)).tolist() == [4, 4, 2]
    assert BinnedEvents(1, 1, steps=2, by="count", bin=3)(events).sum() == 6


def test_tensors_structured_arrays_and_signed_polarities_mean_the_same() -> None:
    events = recording(80)
    frames = BinnedEvents(5, 7, steps=4)(events)
    named = np.array(
        [tuple(row) for row in events], dtype=[("t", "i8"), ("x", "i2"), ("y", "i2"), ("p", "i1")]
    )
    signed = events.copy()
    signed[:, 3] = 2 * signed[:, 3] - 1
    for same in (torch.from_numpy(events), named, signed, events.astype(np.float64)):
        assert torch.equal(BinnedEvents(5, 7, steps=4)(same), frames)


def test_a_limit_gives_the_counts_a_domain() -> None:
    events = np.array([[0, 0, 0, 1]] * 9)
    assert BinnedEvents(1, 1, steps=1)(events).max() == 9
    assert BinnedEvents(1, 1, steps=1, levels=4)(events).max() == 4
    assert BinnedEvents(1, 1, steps=1).domain is None
    assert str(BinnedEvents(1, 1, steps=1, levels=4).domain) == "integer 0..4"
    assert str(BinnedEvents(1, 1, steps=1, levels=1).domain) == "binary 0..1"


@pytest.mark.parametrize(
    ("events", "error", "message"),
    [
        (
            np.zeros((3, 5)),
            ShapeError,
            r"array of shape \(3, 5\) .*it takes \(N, 4\) .* Rearrange the columns",
        ),
        (
            np.array([[0, 9, 0, 1]]),
            ValueRangeError,
            r"got x from 9 to 9; the sensor has 0 to 6. Give the sensor's",
        ),
        (np.array([[0, 0, -1, 1]]), ValueRangeError, r"got y from -1 to -1; the sensor has 0 to 4"),
        (
            np.array([[0, 0, 0, 2]]),
            ValueRangeError,
            r"polarities \[2\]; it takes 0 and 1, or -1 and 1. Map them",
        ),
        (
            np.array([[5, 0, 0, 1], [4, 0, 0, 1]]),
            ValueRangeError,
            r"go back in time; .* Sort them by t first",
        ),
    ],
)
def test_what_are_no_events_is_refused(events, error, message) -> None:
    with pytest.raises(error, match=message):
        BinnedEvents(5, 7, steps=2)(events)


def test_a_wrong_argument_is_refused() -> None:
    for arguments, message in (
        ({"steps": 0}, r"BinnedEvents got steps=0; it takes a number at least 1. Change steps"),
        ({"steps": 1, "bin": 0}, r"got bin=0; it takes a number above 0"),
        (
            {"steps": 1, "by": "count", "bin": 2.5},
            r"by='count' and bin=2.5; .* whole number of events. Round it",
        ),
        ({"steps": 1, "levels": 0}, r"got levels=0; it takes a number at least 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            BinnedEvents(5, 7, **arguments)
    with pytest.raises(
        UnknownNameError, match=r"no way to bin events named 'tme'; 2 are known. The nearest: time"
    ):
        BinnedEvents(5, 7, steps=1, by="tme")
