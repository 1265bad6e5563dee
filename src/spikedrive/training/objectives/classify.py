"""Training a classifier, from labels and perhaps a teacher."""

from __future__ import annotations

from torch import Tensor, nn

from spikedrive.blocks import SpikingModel
from spikedrive.tasks import classify
from spikedrive.training.distill import Teacher
from spikedrive.training.evaluate import evaluate
from spikedrive.training.objectives.objective import Objective
from spikedrive.training.prepare import Images, Part
from spikedrive.training.recipe import Recipe


class Classify(Objective):
    """The class of an image, from labels or a teacher too."""

    has_accuracy = True

    def __init__(self, model: SpikingModel, recipe: Recipe, teacher: Teacher | None) -> None:
        super().__init__(model)
        self._smoothing, self._teacher = recipe.label_smoothing, teacher

    def loss(self, call: nn.Module, part: Part) -> tuple[Tensor, Tensor]:
        """Cross-entropy, and the right answers."""
        output = call(part.x)
        loss = classify.loss(
            output,
            part.targets,
            label_smoothing=self._smoothing,
            teacher_logits=None if self._teacher is None else self._teacher(part.x),
        )
        return loss, classify.correct(output, part.targets)

    def validate(
        self, call: nn.Module, data: Images, *, batch_size: int, rank: int, world: int
    ) -> tuple[float, float, int]:
        """Cross-entropy and accuracy."""
        result = evaluate(
            call, data.validation, batch_size=batch_size, mean=data.mean, std=data.std, rank=rank,
            world=world,
        )  # fmt: skip
        return result["loss"], result["accuracy"], len(result["labels"])

    def weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """All of them."""
        return state

    def figures(self, val_loss: float) -> dict[str, float]:
        """Nothing."""
        return {}
