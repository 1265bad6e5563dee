"""Training a classifier of texts."""

from __future__ import annotations

from torch import Tensor, nn

from spikedrive.blocks import SpikingModel
from spikedrive.tasks import classify
from spikedrive.training.evaluation.text import evaluate_labelled
from spikedrive.training.objectives.objective import Objective
from spikedrive.training.prepare import Labelled, Part
from spikedrive.training.recipe import Recipe


class ClassifyText(Objective):
    """The class of a text."""

    has_accuracy = True

    def __init__(self, model: SpikingModel, recipe: Recipe) -> None:
        super().__init__(model)
        self._smoothing = recipe.label_smoothing

    def loss(self, call: nn.Module, part: Part) -> tuple[Tensor, Tensor]:
        """Cross-entropy, and the right answers."""
        output = call(part.x)
        loss = classify.loss(output, part.targets, label_smoothing=self._smoothing)
        return loss, classify.correct(output, part.targets)

    def validate(
        self, call: nn.Module, data: Labelled, *, batch_size: int, rank: int, world: int
    ) -> tuple[float, float, int]:
        """Cross-entropy and accuracy."""
        found = evaluate_labelled(call, data.validation, batch_size=batch_size, rank=rank, world=world)
        return found["loss"], found["accuracy"], int(found["texts"])

    def weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """All of them."""
        return state

    def figures(self, val_loss: float) -> dict[str, float]:
        """Nothing."""
        return {}
