"""Stopping early: scores, thresholds and curves, on the golden logits and on samples that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spikedrive.errors import ConfigError, ShapeError, UnknownNameError
from spikedrive.tasks.anytime import (
    Point,
    calibrate_gap,
    candidates,
    choose_threshold,
    confidences,
    fixed_curve,
    gaps,
    judged,
    oracle_curve,
    stopping_steps,
)


def test_scores_and_stops_equal_the_golden_ones(golden) -> None:
    cases = torch.load(golden("aoi_cutoff") / "cases.pt")
    # its logits are those of single steps
    means = cases["logits"].cumsum(0) / torch.arange(1, 7).view(-1, 1, 1)
    torch.testing.assert_close(gaps(means), cases["topk_gap"], rtol=0, atol=1e-12)
    assert torch.equal(stopping_steps(confidences(means), 0.9), cases["conf_exit_T_eps0p1"])


def after(*steps: str) -> torch.Tensor:
    """Logits of two classes: a letter a sample and step, r right, w wrong (the label is 0)."""
    right = torch.tensor([[letter == "r" for letter in step] for step in steps])
    return torch.stack([right, ~right], 2).double()


LOGITS, LABELS = after("rwww", "rrww", "rrrw"), torch.zeros(4, dtype=torch.long)


def test_a_fixed_number_of_steps_and_the_oracle_by_hand() -> None:
    assert fixed_curve(LOGITS, LABELS) == [Point(1, 0.25), Point(2, 0.5), Point(3, 0.75)]
    assert oracle_curve(LOGITS, LABELS) == [Point(1, 0.25), Point(1.25, 0.5), Point(1.75, 0.75)]


def test_events_are_counted_up_to_the_answer() -> None:
    events = torch.tensor([[1, 2, 3, 4], [10, 20, 30, 40], [0, 0, 0, 100]])
    assert [p.events for p in fixed_curve(LOGITS, LABELS, events)] == [2.5, 27.5, 52.5]
    assert judged(LOGITS, LABELS, torch.tensor([1, 2, 1, 3]), events).events == (1 + 22 + 3 + 144) / 4
    # the first is right at once, the second after two steps, and the others are given up
    assert oracle_curve(LOGITS, LABELS, events)[1].events == (1 + 22 + 3 + 4) / 4


def test_thresholds_at_both_ends_stop_at_once_and_never() -> None:
    scores = confidences(torch.randn(5, 7, 3))
    assert torch.equal(stopping_steps(scores, 0.0), torch.ones(7, dtype=torch.long))
    assert torch.equal(stopping_steps(scores, 1.0), torch.full((7,), 5))
    assert stopping_steps(scores, torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0])).tolist() == [3] * 7


@pytest.mark.parametrize("rule", ["confidence", "gap"])
def test_no_rule_is_better_than_the_oracle(rule: str) -> None:
    labels = torch.randint(4, (200,))
    noise = torch.randn(6, 200, 4) + 0.5 * torch.nn.functional.one_hot(labels, 4)
    logits = noise.cumsum(0) / torch.arange(1, 7).view(-1, 1, 1)
    bound = oracle_curve(logits, labels)
    tried = candidates(logits, labels, rule)
    assert len({point for _, point in tried}) > 5
    for _, point in tried:
        # the straight line between two points of the oracle, since it may win any share of a step's samples
        least = np.interp(point.accuracy, [b.accuracy for b in bound], [b.steps for b in bound])
        assert point.accuracy <= bound[-1].accuracy and point.steps >= least - 1e-9


def test_a_gap_counts_only_what_stays_right() -> None:
    # the first sample is right at once and then no longer: its large first gap is no reason to stop
    logits = torch.tensor([[[9.0, 0.0], [4.0, 0.0]], [[0.0, 9.0], [4.0, 0.0]]]).double()
    limits = calibrate_gap(logits, torch.zeros(2, dtype=torch.long), 0.0)
    assert limits[0] == torch.inf
    assert stopping_steps(gaps(logits), limits).tolist() == [2, 2]
    assert calibrate_gap(logits, torch.zeros(2, dtype=torch.long), 0.5)[0] == 0


def test_the_threshold_is_the_earliest_that_loses_no_more_than_was_allowed() -> None:
    labels = torch.randint(4, (400,), generator=torch.Generator().manual_seed(1))
    noise = torch.randn(8, 400, 4) + torch.nn.functional.one_hot(labels, 4)
    logits = noise.cumsum(0) / torch.arange(1, 9).view(-1, 1, 1)
    best = max(point.accuracy for point in fixed_curve(logits, labels))
    threshold, point = choose_threshold(logits, labels, "confidence", tolerance=0.02)
    assert point.accuracy >= best - 0.02
    assert point == judged(logits, labels, stopping_steps(confidences(logits), threshold))
    earlier = [each for _, each in candidates(logits, labels, "confidence") if each.steps < point.steps]
    assert earlier and all(each.accuracy < best - 0.02 for each in earlier)


def test_what_cannot_be_judged_is_named() -> None:
    with pytest.raises(ShapeError, match=r"shape \(4, 2\) and labels of shape \(4,\); it takes \(T, N, K\)"):
        fixed_curve(LOGITS[0], LABELS)
    with pytest.raises(ConfigError, match=r"error=2; it takes a share of 0 to 1"):
        calibrate_gap(LOGITS, LABELS, 2)
    with pytest.raises(ConfigError, match=r"tolerance=-1; it takes a share of at least 0"):
        choose_threshold(LOGITS, LABELS, "gap", tolerance=-1)
    with pytest.raises(UnknownNameError, match="no rule to stop named 'entropy'"):
        candidates(LOGITS, LABELS, "entropy")
