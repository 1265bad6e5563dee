"""The loss, the metric and the reading of a classifier."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from spikedrive.errors import ConfigError, ShapeError, ValueRangeError
from spikedrive.tasks import classify


def test_loss_is_smoothed_cross_entropy() -> None:
    logits, labels = torch.randn(4, 3, dtype=torch.float64), torch.tensor([0, 2, 1, 1])
    shares = F.one_hot(labels, 3) * 0.9 + 0.1 / 3
    expected = -(shares * logits.log_softmax(1)).sum(1).mean()
    assert torch.allclose(classify.loss(logits, labels, label_smoothing=0.1), expected, atol=1e-12)


def test_loss_takes_mixed_targets() -> None:
    logits, shares = torch.randn(4, 3, dtype=torch.float64), torch.rand(4, 3, dtype=torch.float64).softmax(1)
    expected = -(shares * logits.log_softmax(1)).sum(1).mean()
    assert torch.allclose(classify.loss(logits, shares), expected, atol=1e-12)


def test_a_teacher_gets_half_of_the_loss_by_its_top_class() -> None:
    y, y_kd, teacher = torch.randn(3, 4, 5, dtype=torch.float64).unbind(0)
    labels = torch.tensor([0, 1, 2, 3])
    expected = 0.5 * F.cross_entropy(y, labels) + 0.5 * F.cross_entropy(y_kd, teacher.argmax(1))
    assert torch.allclose(classify.loss((y, y_kd), labels, teacher_logits=teacher), expected, atol=1e-12)


def test_answers_of_every_step_are_judged_one_by_one() -> None:
    logits, labels = torch.randn(3, 4, 5, dtype=torch.float64), torch.tensor([0, 1, 2, 3])
    expected = torch.stack([F.cross_entropy(step, labels) for step in logits]).mean()
    assert torch.allclose(classify.loss(logits, labels), expected, atol=1e-12)
    assert torch.equal(classify.logits(logits), logits.mean(0))


@pytest.mark.parametrize("heads", [1, 2])
def test_heads_and_teacher_come_together(heads: int) -> None:
    y = torch.randn(2, 3)
    output, teacher = (y, y) if heads == 1 else ((y, y), None)
    with pytest.raises(ConfigError, match="needs both a teacher and a distillation head"):
        classify.loss(output, torch.tensor([0, 1]), teacher_logits=teacher)


def test_correct_counts_top_classes() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]])
    assert int(classify.correct(logits, torch.tensor([0, 0, 0]))) == 2
    assert int(classify.correct((logits, logits), torch.tensor([[0.6, 0.4], [0.1, 0.9], [0.2, 0.8]]))) == 2


def test_decode_gives_the_best_names_first() -> None:
    (answer,) = classify.decode(torch.tensor([[0.0, 2.0, 1.0]]), ["bag", "shirt", "coat"], top=2)
    assert [p.name for p in answer] == ["shirt", "coat"]
    assert answer[0].score == pytest.approx(float(torch.tensor([0.0, 2.0, 1.0]).softmax(0)[1]))


def test_decode_refuses_what_it_cannot_read() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 3\) for 2 class names; it takes \(B, K\)"):
        classify.decode(torch.zeros(2, 3), ["a", "b"])
    with pytest.raises(ValueRangeError, match="NaN or infinity; it takes finite numbers"):
        classify.decode(torch.tensor([[float("nan"), 1.0]]), ["a", "b"])
    with pytest.raises(ConfigError, match="top=0; it takes a whole number of at least 1"):
        classify.decode(torch.zeros(1, 2), ["a", "b"], top=0)
