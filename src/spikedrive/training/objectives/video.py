"""Training on clips of video: the class of a clip, that of every pixel, or key points."""

from __future__ import annotations

from torch import Tensor, nn

from spikedrive.blocks import SpikingModel
from spikedrive.tasks import classify, segment
from spikedrive.training.evaluation.video import evaluate_video, judge
from spikedrive.training.objectives.objective import Objective
from spikedrive.training.prepare import Part, Videos
from spikedrive.training.prepare.keys import task_number
from spikedrive.training.prepare.video import VideoTask
from spikedrive.training.recipe import Recipe


class WatchVideo(Objective):
    """What is seen in a clip. Accuracy is the share of clips, of pixels, or of points (PCK)."""

    has_accuracy = True

    def __init__(self, model: SpikingModel, recipe: Recipe, data: Videos) -> None:
        super().__init__(model)
        self._task: VideoTask = data.task
        self._smoothing = recipe.label_smoothing
        self._figures: dict[str, float] = {}
        balance = task_number(recipe, "balance", 0.0, float, 0)
        self._weights = (
            segment.class_weights(data.train.masks, len(data.names), balance)
            if data.task == "segment" and balance
            else None
        )

    def loss(self, call: nn.Module, part: Part) -> tuple[Tensor, Tensor]:
        """The task's loss; right answers as a share of each clip's."""
        output = call(part.x)
        loss, right, answers = judge(self._task, output, part.targets)
        if self._smoothing:
            loss = classify.loss(output, part.targets, label_smoothing=self._smoothing)
        if self._weights is not None:
            loss = segment.loss(output, part.targets, self._weights.to(output))
        return loss, right * part.samples / answers

    def validate(
        self, call: nn.Module, data: Videos, *, batch_size: int, rank: int, world: int
    ) -> tuple[float, float, int]:
        """Every process judges all clips: an intersection over a union is no mean over shares of them."""
        found = evaluate_video(call, data.validation, self._task, batch_size=batch_size)
        self._figures = {f"val_{key}": found[key] for key in ("miou", "pixel_error") if key in found}
        return found["loss"], found["accuracy"], int(found["clips"])

    def weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """All of them."""
        return state

    def figures(self, val_loss: float) -> dict[str, float]:
        """mIoU, or the mean distance in pixels, of the last validation."""
        return self._figures
