"""Training a classifier, from labels and perhaps a teacher."""

from __future__ import annotations

from contextlib import nullcontext

from torch import Tensor, nn

from spikedrive.blocks import SpikingModel
from spikedrive.errors import ConfigError
from spikedrive.tasks import classify
from spikedrive.training.distill import Teacher
from spikedrive.training.evaluation.images import evaluate
from spikedrive.training.losses.anytime import record_drift
from spikedrive.training.objectives.objective import Objective
from spikedrive.training.prepare import Data, Images, Part
from spikedrive.training.recipe import Recipe


class Classify(Objective):
    """The class of an image, from labels or a teacher too."""

    has_accuracy = True
    takes: tuple[str, ...] = ("anytime",)
    """The keys of the task."""

    def __init__(self, model: SpikingModel, recipe: Recipe, teacher: Teacher | None) -> None:
        super().__init__(model)
        unknown = [key for key in recipe.task if key not in ("name", *self.takes)]
        if unknown:
            raise ConfigError(
                f"The task 'classify' got {unknown[0]!r}; it takes anytime, the weight of the loss for early answers. "
                "Correct task."
            )
        self._smoothing, self._teacher = recipe.label_smoothing, teacher
        self._anytime = float(recipe.task.get("anytime", 0.0))

    def loss(self, call: nn.Module, part: Part) -> tuple[Tensor, Tensor]:
        """Cross-entropy, with the loss for early answers where it is asked for; and the right answers."""
        recording = record_drift(self.module) if self._anytime else nullcontext()
        with recording as recorded:
            output = call(part.x)
        loss = classify.loss(
            output,
            part.targets,
            label_smoothing=self._smoothing,
            teacher_logits=None if self._teacher is None else self._teacher(part.x),
        )
        if recorded is not None:
            loss = loss + self._anytime * recorded.loss(part.targets)
        return loss, classify.correct(output, part.targets)

    def validate(
        self, call: nn.Module, data: Data, *, batch_size: int, rank: int, world: int
    ) -> tuple[float, float, int]:
        """Cross-entropy and accuracy."""
        assert isinstance(data, Images)
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
