"""How early a model can answer: its logits after each step, and rules to stop judged on other images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.data import ImageSet
from spikedrive.data.events import EventSet, FrameReader
from spikedrive.errors import ConfigError, DataError
from spikedrive.state import run
from spikedrive.tasks import anytime, classify
from spikedrive.training.evaluation.clips import read_batches
from spikedrive.training.evaluation.images import normalised_batches


@torch.no_grad()
def answers_by_step(model: nn.Module, x: Tensor, *, steps: int | None = None) -> Tensor:
    """The answer after each step of one input, each the mean over the steps so far.

    *Shapes*: x (B, ...) for a static input, of which the encoder gives `steps`, or frames (T, B, ...) -> (T, B, K).
    *Raises*: StateError for a model that needs all steps at once; ConfigError for `steps` of frames, or none of
    a static input.
    """
    frames = getattr(model, "input", "image") == "frames"
    if frames == (steps is not None) or (steps is not None and steps < 1):
        raise ConfigError(
            f"answers_by_step got steps={steps} for {'frames' if frames else 'a static input'}; it takes a number of "
            "at least 1 for a static input, and none for frames, which bring their own. Change steps."
        )
    answers, state = [], None
    for t in range(len(x) if steps is None else steps):
        if frames:
            y, state = run(model, x[t : t + 1], state)
        else:
            y, state = run(model, x, state, steps=1)
        answers.append(classify.logits(y))
    return torch.stack(answers)


def evaluate_anytime(
    model: nn.Module,
    validation: ImageSet,
    test: ImageSet,
    *,
    steps: int,
    mean: Sequence[float],
    std: Sequence[float],
    rule: anytime.Rule = "confidence",
    tolerance: float = 0.005,
    temperature: float = 1.0,
    batch_size: int = 256,
) -> dict[str, Any]:
    """Accuracy against steps on `test`: fixed numbers of steps, a rule that stops early, and the oracle.

    The rule's threshold is the one with the fewest steps within `tolerance` of the best accuracy on `validation`; its
    curve holds what each of the thresholds tried there is worth on `test`. The model is left in the mode in which it
    came.

    *Units*: accuracy and tolerance 0 to 1; steps are means over the images; `saved` is the share of steps fewer than
    the smallest fixed number whose accuracy on `test` lies within `tolerance` of the best.
    *Raises*: DataError for no images; ConfigError for one step; StateError for a model that needs all steps at once.
    """
    if not len(validation) or not len(test):
        raise DataError(
            f"evaluate_anytime got {len(validation)} images to choose on and {len(test)} to judge on; it takes at "
            "least one of both. Check the splits."
        )
    if steps < 2:
        raise ConfigError(
            f"evaluate_anytime got steps={steps}; stopping early takes at least 2. Ask for more steps, of a model "
            "whose neurons keep their membrane."
        )
    training = model.training
    model.eval()
    try:
        chosen_on, judged_on = (
            _answers(model, images, steps, batch_size, mean, std) for images in (validation, test)
        )
    finally:
        model.train(training)
    return _curves(chosen_on, judged_on, rule, tolerance, temperature)


@torch.no_grad()
def evaluate_anytime_clips(
    model: nn.Module,
    validation: EventSet,
    test: EventSet,
    reader: FrameReader,
    *,
    rule: anytime.Rule = "confidence",
    tolerance: float = 0.005,
    temperature: float = 1.0,
    batch_size: int = 64,
) -> dict[str, Any]:
    """Accuracy against steps on clips of events, whose frames come one after another; all else as `evaluate_anytime`.

    Every point of a curve has `events` too, the mean number of those in the frames seen.

    *Raises*: DataError for no clips; ConfigError for a reader of one step; StateError for a model that needs all steps
    at once.
    """
    if not len(validation) or not len(test):
        raise DataError(
            f"evaluate_anytime_clips got {len(validation)} clips to choose on and {len(test)} to judge on; it takes at "
            "least one of both. Check the splits."
        )
    if reader.steps < 2:
        raise ConfigError(
            "evaluate_anytime_clips got a reader of one step; stopping early takes at least 2. Train with task.steps=2 "
            "or more."
        )
    training, device = model.training, next(model.parameters()).device
    model.eval()
    answers, events = [], []
    try:
        for clips in (validation, test):
            logits, counts = [], []
            for x, _ in read_batches(clips, reader, batch_size):
                logits.append(answers_by_step(model, x.to(device)).float().cpu())
                counts.append(x.flatten(2).sum(2, dtype=torch.float64))
            answers.append((torch.cat(logits, 1), clips.labels))
            events.append(torch.cat(counts, 1))
    finally:
        model.train(training)
    return _curves(answers[0], answers[1], rule, tolerance, temperature, events[1])


def _curves(
    chosen_on: tuple[Tensor, Tensor],
    judged_on: tuple[Tensor, Tensor],
    rule: anytime.Rule,
    tolerance: float,
    temperature: float,
    events: Tensor | None = None,
) -> dict[str, Any]:
    threshold, expected = anytime.choose_threshold(
        *chosen_on, rule, tolerance=tolerance, temperature=temperature
    )
    scores = anytime.scores_of(judged_on[0], rule, temperature)
    found = anytime.judged(*judged_on, anytime.stopping_steps(scores, threshold), events)
    curve = [
        anytime.judged(*judged_on, anytime.stopping_steps(scores, each), events)
        for each, _ in anytime.candidates(*chosen_on, rule, temperature)
    ]
    fixed = anytime.fixed_curve(*judged_on, events)
    best = max(point.accuracy for point in fixed)
    enough = next(point for point in fixed if point.accuracy >= best - tolerance)
    return {
        "rule": rule,
        "threshold": threshold.tolist() if isinstance(threshold, Tensor) else threshold,
        "temperature": temperature,
        "tolerance": tolerance,
        "expected": _fields(expected),
        **_fields(found),
        "saved": 1 - found.steps / enough.steps,
        "smallest_fixed": _fields(enough),
        "fixed": [_fields(point) for point in fixed],
        "curve": [_fields(point) for point in curve],
        "oracle": [_fields(point) for point in anytime.oracle_curve(*judged_on, events)],
    }


def _fields(point: anytime.Point) -> dict[str, float]:
    return {key: value for key, value in asdict(point).items() if value is not None}


def _answers(
    model: nn.Module,
    images: ImageSet,
    steps: int,
    batch_size: int,
    mean: Sequence[float],
    std: Sequence[float],
) -> tuple[Tensor, Tensor]:
    logits, labels = [], []
    for _, x, label in normalised_batches(model, images, batch_size, mean=mean, std=std):
        logits.append(answers_by_step(model, x, steps=steps).float().cpu())
        labels.append(label.cpu())
    return torch.cat(logits, 1), torch.cat(labels)
