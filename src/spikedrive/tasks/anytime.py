"""Answers before the last step: when to stop, by a threshold chosen on other data, and the best that was possible.

All of it works on the logits after each step, T steps of N samples, whatever network gave them: `logits[t]` is the mean
over the steps 1 to t + 1, as a model's readout gives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from spikedrive.errors import ConfigError, ShapeError, unknown_name

Rule = Literal["confidence", "gap"]
"""Stop where the largest softmax, or the difference of the two largest summed logits, exceeds a threshold."""
BINS = 100
"""How many thresholds a gap is tried at, between zero and the largest one seen."""


@dataclass(frozen=True)
class Point:
    """One way to answer. *Units*: `steps` is the mean number of steps a sample took, `accuracy` 0 to 1, `events` the
    mean number of events seen until then, where samples have events."""

    steps: float
    accuracy: float
    events: float | None = None


def confidences(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """The largest softmax of the summed logits after each step.

    *Equation*: max_k softmax(t y_t / temperature), y_t the mean of the logits of steps 1 to t.
    *Shapes*: logits (T, N, K) -> (T, N).
    *Source*: Dynamic Confidence (arXiv 2303.10276), whose code has the temperature 30; SNNcutoff's has 1.
    """
    return (_summed(logits) / temperature).softmax(-1).amax(-1)


def gaps(logits: Tensor) -> Tensor:
    """How far the largest summed logit lies above the second after each step.

    *Equation*: top1(t y_t) - top2(t y_t), y_t the mean of the logits of steps 1 to t.
    *Shapes*: logits (T, N, K), K >= 2 -> (T, N).
    *Source*: the cutoff of AOI-SNN, as the code of SNNcutoff has it: on sums, not on means.
    """
    first, second = _summed(logits).topk(2, dim=-1).values.unbind(-1)
    return first - second


def stopping_steps(scores: Tensor, thresholds: Tensor | float) -> Tensor:
    """After how many steps each sample is answered: the first whose score exceeds its threshold, or else the last.

    *Shapes*: scores (T, N), thresholds one or (T,) -> (N,) int64 of 1..T.

    >>> stopping_steps(torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.0, 0.0]]), 0.5).tolist()
    [2, 1]
    """
    limits = torch.as_tensor(thresholds, dtype=scores.dtype).expand(len(scores))
    sure = scores > limits.unsqueeze(1)
    sure[-1] = True
    return sure.int().argmax(0) + 1


def judged(logits: Tensor, labels: Tensor, steps: Tensor, events: Tensor | None = None) -> Point:
    """What the answers after `steps` are worth.

    *Shapes*: logits (T, N, K), labels and steps (N,), events (T, N): those of each step.
    """
    right = correct_by_step(logits, labels)
    seen = None
    if events is not None:
        seen = float(events.double().cumsum(0).gather(0, steps[None] - 1).mean())
    return Point(float(steps.double().mean()), float(right.gather(0, steps[None] - 1).double().mean()), seen)


def correct_by_step(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether each sample is right after each step.

    *Shapes*: logits (T, N, K), labels (N,) -> (T, N) bool.
    *Raises*: ShapeError for logits without a time axis, or as many labels as samples, or none.
    """
    if logits.dim() != 3 or labels.shape != logits.shape[1:2] or not labels.numel():
        raise ShapeError(
            f"Anytime answers got logits of shape {tuple(logits.shape)} and labels of shape {tuple(labels.shape)}; it "
            "takes (T, N, K) and (N,), N of at least 1. Pass the logits after each step."
        )
    return logits.argmax(-1) == labels


def fixed_curve(logits: Tensor, labels: Tensor, events: Tensor | None = None) -> list[Point]:
    """All samples answered after the same step, for each step; arguments as of `judged`."""
    return [judged(logits, labels, torch.full_like(labels, t), events) for t in range(1, len(logits) + 1)]


def oracle_curve(logits: Tensor, labels: Tensor, events: Tensor | None = None) -> list[Point]:
    """The bound of every rule: who knows the labels stops at the first right answer, and gives up the rest at once.

    Arguments as of `judged`.

    *Equation*: with f the first step at which a sample is right, point t answers samples with f <= t after f steps and
    all others after one. No rule lies above the straight lines between the points.
    *Source*: Dynamic Confidence (arXiv 2303.10276) draws such a curve; that what is never right leaves at once is ours,
    and makes it a bound on steps as well.
    """
    right = correct_by_step(logits, labels)
    first = right.int().argmax(0) + 1
    ever = right.any(0)
    points = []
    for t in range(1, len(right) + 1):
        won = ever & (first <= t)
        points.append(judged(logits, labels, torch.where(won, first, 1), events))
    return points


def calibrate_gap(logits: Tensor, labels: Tensor, error: float) -> Tensor:
    """For each step the smallest gap above which answers stay right, in all but a share `error` of cases.

    *Equation*: of 100 thresholds b between 0 and the largest gap of step t, the smallest for which at least 1 - error
    of the samples with a larger gap are right at t **and at every later step**; infinite where none is.
    *Shapes*: logits (T, N, K), labels (N,) -> (T,).
    *Raises*: ConfigError for an error outside 0..1.
    *Source*: the cutoff of AOI-SNN, as the code of SNNcutoff calibrates it.
    """
    if not 0 <= error <= 1:
        raise ConfigError(f"calibrate_gap got error={error}; it takes a share of 0 to 1. Use 0.05.")
    right = correct_by_step(logits, labels)
    stays = right.flip(0).cumprod(0).flip(0).bool()
    chosen = []
    for gap, good in zip(gaps(logits), stays, strict=True):
        limits = torch.linspace(0, float(gap.max()), BINS + 1, dtype=gap.dtype)[:-1]
        above = gap > limits.unsqueeze(1)
        precision = (above & good).sum(1) / above.sum(1).clamp(min=1)
        fits = (precision >= 1 - error) & above.any(1)
        chosen.append(limits[fits.int().argmax()] if bool(fits.any()) else limits.new_tensor(torch.inf))
    return torch.stack(chosen)


def candidates(
    logits: Tensor, labels: Tensor, rule: Rule, temperature: float = 1.0
) -> list[tuple[Any, Point]]:
    """Thresholds of a rule with what each is worth on these samples, the one that stops earliest first.

    A confidence is tried at 0 and at each hundredth of those that occur, a gap at the thresholds of each error of 0,
    0.01 .. 1.

    *Raises*: UnknownNameError for another rule.
    """
    if rule not in get_args(Rule):
        raise unknown_name("rule to stop", rule, get_args(Rule))
    scores = scores_of(logits, rule, temperature)
    if rule == "confidence":
        ranked = scores.flatten().sort().values
        places = torch.linspace(0, len(ranked) - 1, 101).long()
        thresholds: list[Any] = [0.0, *ranked[places].tolist()]
    else:
        thresholds = [calibrate_gap(logits, labels, i / 100) for i in range(101)]
    found = [(each, judged(logits, labels, stopping_steps(scores, each))) for each in thresholds]
    return sorted(found, key=lambda each: each[1].steps)


def scores_of(logits: Tensor, rule: Rule, temperature: float = 1.0) -> Tensor:
    """What a rule compares with its threshold, (T, N)."""
    return confidences(logits, temperature) if rule == "confidence" else gaps(logits)


def choose_threshold(
    logits: Tensor, labels: Tensor, rule: Rule, *, tolerance: float = 0.005, temperature: float = 1.0
) -> tuple[Any, Point]:
    """The threshold with the fewest steps whose accuracy is within `tolerance` of the best fixed number of steps.

    Give samples that the result is not judged on. *Raises*: ConfigError for a negative tolerance.
    """
    if tolerance < 0:
        raise ConfigError(
            f"choose_threshold got tolerance={tolerance}; it takes a share of at least 0. Use 0.005."
        )
    wanted = max(point.accuracy for point in fixed_curve(logits, labels)) - tolerance
    found = candidates(logits, labels, rule, temperature)
    # none may reach it: then the most accurate one
    best = max(point.accuracy for _, point in found)
    return next(each for each in found if each[1].accuracy >= min(wanted, best))


def _summed(logits: Tensor) -> Tensor:
    return logits * torch.arange(1, len(logits) + 1, dtype=logits.dtype, device=logits.device).view(-1, 1, 1)
