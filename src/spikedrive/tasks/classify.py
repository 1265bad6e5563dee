"""Classification: cross-entropy, accuracy, and names with scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from spikedrive.errors import ConfigError, ShapeError, ValueRangeError

Output = Tensor | tuple[Tensor, Tensor]
"""Logits (B, K) or, one answer a step, (T, B, K); or the logits of the label head and of the distillation head."""


class Prediction(NamedTuple):
    """One class name and its softmax score, 0 to 1."""

    name: str
    score: float


def loss(
    output: Output, targets: Tensor, *, label_smoothing: float = 0.0, teacher_logits: Tensor | None = None
) -> Tensor:
    """The mean cross-entropy; with a teacher, half of it goes to the teacher's top class.

    *Equation*: CE(y, target), or 1/2 CE(y, target) + 1/2 CE(y_kd, argmax teacher) (hard distillation).
    With one answer a step, the mean over the steps (TET).
    *Shapes*: output (B, K) or (T, B, K), or two of them; targets (B,) labels or (B, K) shares; teacher_logits (B, K).
    *Raises*: ConfigError where the model has a distillation head and there is no teacher, or the reverse.
    *Source*: hard distillation as in DeiT and Spike-driven Transformer V2 (alpha 0.5, no temperature);
    label smoothing applies to the first term only. TET (arXiv 2202.11946) without its second term.
    """
    if isinstance(output, Tensor) != (teacher_logits is None):
        heads = "one head" if isinstance(output, Tensor) else "a distillation head"
        given = "no teacher" if teacher_logits is None else "a teacher"
        raise ConfigError(
            f"The model answers with {heads} and the recipe has {given}; distillation needs both a teacher and a "
            "distillation head. Set teacher=CHECKPOINT with model_args.distilled=true, or neither."
        )
    if isinstance(output, Tensor):
        return _cross_entropy(output, targets, label_smoothing)
    label_logits, distilled_logits = output
    assert teacher_logits is not None
    taught = logits(teacher_logits).argmax(1)
    return 0.5 * _cross_entropy(label_logits, targets, label_smoothing) + 0.5 * _cross_entropy(
        distilled_logits, taught
    )


def logits(output: Output) -> Tensor:
    """The logits (B, K) that answer: with two heads or several steps, their mean."""
    answer = output if isinstance(output, Tensor) else (output[0] + output[1]) / 2
    return answer.mean(0) if answer.dim() == 3 else answer


def correct(output: Output, targets: Tensor) -> Tensor:
    """How many of the batch are right, as an integer tensor; a mixed target counts as its larger class."""
    labels = targets if targets.dim() == 1 else targets.argmax(1)
    return (logits(output).detach().argmax(1) == labels).sum()


def decode(answer: Tensor, class_names: Sequence[str], *, top: int = 5) -> list[list[Prediction]]:
    """For each sample the `top` class names with their softmax scores, best first.

    *Shapes*: answer (B, K), K = len(class_names).
    *Raises*: ShapeError for another K; ValueRangeError for NaN or infinity; ConfigError for top below 1.

    >>> decode(torch.tensor([[0.0, 2.0]]), ["bag", "shirt"], top=1)[0][0].name
    'shirt'
    """
    if answer.dim() != 2 or answer.shape[1] != len(class_names):
        raise ShapeError(
            f"decode got logits of shape {tuple(answer.shape)} for {len(class_names)} class names; it takes (B, K) "
            "with one column a name. Pass the names that are stored in the model's checkpoint."
        )
    if top < 1:
        raise ConfigError(
            f"decode got top={top}; it takes a whole number of at least 1. Use top=1 for the best class."
        )
    if not bool(torch.isfinite(answer).all()):
        raise ValueRangeError(
            "decode got logits with NaN or infinity; it takes finite numbers. Check the image and the checkpoint."
        )
    scores, columns = answer.float().softmax(1).topk(min(top, len(class_names)), dim=1)
    return [
        [Prediction(str(class_names[c]), s) for s, c in zip(row, where, strict=True)]
        for row, where in zip(scores.tolist(), columns.tolist(), strict=True)
    ]


def _cross_entropy(answer: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    if answer.dim() == 3:
        # steps become the trailing axis that cross_entropy averages over
        targets = targets.unsqueeze(-1).expand(*targets.shape, len(answer))
        answer = answer.movedim(0, -1)
    return F.cross_entropy(answer, targets, label_smoothing=label_smoothing)
