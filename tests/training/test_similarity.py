"""Distillation of similarity patterns: what it measures, and that training lowers it."""

from __future__ import annotations

import pytest
import torch

import spikedrive as sd
from spikedrive.errors import ShapeError
from spikedrive.training.losses import record_attention, similarity_distillation


def test_patterns_by_hand() -> None:
    # two tokens alike, against two that have nothing in common
    alike, apart = (
        torch.tensor([[[1.0, 0.0], [2.0, 0.0]]]),
        torch.tensor([[[3.0, 0.0, 0.0], [0.0, 3.0, 0.0]]]),
    )
    expected = torch.tensor([[0.2, 0.4], [0.4, 0.8]]) - torch.eye(2) / 2**0.5
    loss = similarity_distillation([alike], [apart])
    torch.testing.assert_close(loss, expected.norm())
    torch.testing.assert_close(similarity_distillation([alike, alike], [apart, alike]), expected.norm())


def test_silence_has_finite_gradients() -> None:
    silent = torch.zeros(2, 3, 4, requires_grad=True)
    loss = similarity_distillation([silent], [torch.randn(2, 3, 4)])
    loss.backward()
    torch.testing.assert_close(loss, torch.tensor(1.0))
    assert silent.grad is not None and silent.grad.isfinite().all()


def test_training_brings_a_students_attention_nearer_to_its_teachers() -> None:
    small = {"widths": (8, 16, 16), "strides": (4, 2, 1), "heads": 2}
    teacher = sd.create_model("e_spikeformer_nano", **small).eval()
    student = sd.create_model("qsd_transformer_nano", **small)
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    x = torch.randn(8, 1, 28, 28)
    with torch.no_grad(), record_attention(teacher) as wanted:
        teacher(x)
    assert [f.shape for f in wanted] == [(8, 16, 16), (8, 16, 16), (8, 16, 32)]
    losses = []
    for _ in range(12):
        with record_attention(student) as found:
            student(x)
        loss = similarity_distillation(found, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert all(not n._forward_hooks for n in student.neurons().values())


def test_features_that_do_not_fit_are_named() -> None:
    x = torch.zeros(1, 4, 2)
    with pytest.raises(
        ShapeError, match="got 1 features of the student and 2 of the teacher; it takes as many"
    ):
        similarity_distillation([x], [x, x])
    with pytest.raises(
        ShapeError, match=r"features 0 of shapes \(1, 4, 2\) and \(1, 3, 2\).*same samples and tokens"
    ):
        similarity_distillation([x], [x[:, :3]])
