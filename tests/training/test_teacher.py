"""Hard distillation from a checkpoint of ours and from any PyTorch classifier."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from spikedrive.errors import CheckpointError, ConfigError
from spikedrive.training import Recipe, prepare, train
from spikedrive.training.distill import prepare_teacher, save_teacher
from tiny_training import write_pictures

Tiny = Callable[..., Recipe]
CPU = torch.device("cpu")


class Classifier(nn.Module):
    """Not one of ours: dropout, BatchNorm and a reshape of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(4 * 36, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(x).reshape(x.shape[0], -1))


def test_distillation_teaches_the_second_head(tiny: Tiny, tmp_path: Path) -> None:
    teacher = train(tiny(epochs=1), tmp_path / "teacher", progress=False)
    best = str(teacher.folder / "checkpoints" / "best.safetensors")
    student = tiny(teacher=best, seed=1, epochs=1, ema=0.0, augment={})
    run = train(student, tmp_path / "student", progress=False)
    weights = load_file(run.folder / "checkpoints" / "last.safetensors")
    assert {"head.linear.label.weight", "head.linear.teacher.weight"} <= weights.keys()
    # the teacher's input is the student's, whatever both were normalised by
    images = prepare.prepare_images(student)
    shifted = prepare.Images(
        images.train, images.validation, [m + 0.1 for m in images.mean], [2 * s for s in images.std]
    )
    device = torch.device("cpu")
    answers = []
    for each in (images, shifted):
        parts = next(prepare.Batches(student, each, device=device).epoch(0))
        judge = prepare_teacher(student, each, device)
        assert judge is not None
        answers.append(judge(parts[0].x))
    assert torch.allclose(answers[0], answers[1], atol=1e-4)


def test_a_teacher_of_other_classes_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    other = write_pictures(tmp_path / "other.npz", names=["a", "b", "c", "d"])
    teacher = train(tiny(data=str(other), epochs=1), tmp_path / "teacher", progress=False)
    best = str(teacher.folder / "checkpoints" / "best.safetensors")
    with pytest.raises(
        CheckpointError, match=r"The teacher .* knows 4 classes \(a, b, c.* these images have 4 \(0, 1"
    ):
        train(tiny(teacher=best), tmp_path / "run", progress=False)


def test_any_classifier_teaches_from_a_file(tiny: Tiny, tmp_path: Path) -> None:
    judge, path = Classifier(), tmp_path / "classifier.pt2"
    known = {"class_names": ("0", "1", "2", "3"), "mean": [0.3], "std": [0.2]}
    save_teacher(judge, path, **known, input_size=(1, 8, 8))
    assert judge.training
    recipe = tiny(teacher=str(path), epochs=1, ema=0.0)
    images = prepare.prepare_images(recipe)
    teacher = prepare_teacher(recipe, images, CPU)
    assert teacher is not None
    x = next(prepare.Batches(recipe, images, device=CPU).epoch(0))[0].x
    pixels = x * images.std[0] + images.mean[0]
    torch.testing.assert_close(teacher(x), judge.eval()((pixels - 0.3) / 0.2), rtol=1e-4, atol=1e-4)
    assert not teacher(x).requires_grad
    weights = load_file(
        train(recipe, tmp_path / "run", progress=False).folder / "checkpoints" / "last.safetensors"
    )
    assert "head.linear.teacher.weight" in weights


def test_a_distilled_run_starts_from_one_that_was_not(tiny: Tiny, tmp_path: Path) -> None:
    first = train(tiny(epochs=1), tmp_path / "first", progress=False)
    best = str(first.folder / "checkpoints" / "best.safetensors")
    recipe = tiny(teacher=best, weights=best)
    model, notes = prepare.prepare_model(recipe, prepare.prepare_images(recipe))
    own, theirs = model.state_dict(), load_file(best)
    assert not notes
    for key, value in theirs.items():
        assert torch.equal(own[key.replace("head.linear.", "head.linear.label.")], value)
    assert set(own) - {k.replace("head.linear.", "head.linear.label.") for k in theirs} == {
        "head.linear.teacher.weight", "head.linear.teacher.bias",
    }  # fmt: skip


def test_a_teacher_that_is_none_is_named(tiny: Tiny, tmp_path: Path) -> None:
    known = {"class_names": ("0", "1", "2"), "mean": [0.3], "std": [0.2], "input_size": (1, 8, 8)}
    with pytest.raises(ConfigError, match=r"logits of shape \(2, 4\) for a batch of 2, 3 class names"):
        save_teacher(Classifier(), tmp_path / "a.pt2", **known)
    with pytest.raises(ConfigError, match=r"it writes files named \*\.pt2"):
        save_teacher(Classifier(), tmp_path / "a.pt", **known)
    (tmp_path / "a.pt2").write_bytes(b"no archive")
    recipe = tiny(teacher=str(tmp_path / "a.pt2"))
    with pytest.raises(CheckpointError, match=r"The teacher .*a\.pt2 cannot be read"):
        prepare_teacher(recipe, prepare.prepare_images(recipe), CPU)
