"""Training to recall: the loss of the tokens that are asked for, and of no other."""

from __future__ import annotations

from torch import Tensor, nn

from spikedrive.blocks import SpikingModel
from spikedrive.tasks import answers
from spikedrive.training.objectives.objective import Objective
from spikedrive.training.prepare import Part, Recall
from spikedrive.training.prepare.recall import VALIDATION_TEXTS


class AnswerRecall(Objective):
    """The right token behind every question of a text."""

    has_accuracy = True

    def __init__(self, model: SpikingModel, recall: Recall) -> None:
        super().__init__(model)
        self._validation = recall.ask(VALIDATION_TEXTS, recall.samples)

    def loss(self, call: nn.Module, part: Part) -> tuple[Tensor, Tensor]:
        """Cross-entropy in nats an answer; right ones as a share of each text's answers."""
        logits, asked = call(part.x), part.targets != answers.UNASKED
        hits = (logits.detach().argmax(-1) == part.targets).sum()
        return answers.loss(logits, part.targets), hits * part.samples / asked.sum()

    def validate(
        self, call: nn.Module, data: Recall, *, batch_size: int, rank: int, world: int
    ) -> tuple[float, float, int]:
        """Over the questions of seed 1, as `answers.answer` and so `spikedrive eval` judge them."""
        whole = self._validation
        ids, targets = (x.tensor_split(world, 1)[rank] for x in (whole.ids, whole.targets))
        if not ids.shape[1]:
            return 0.0, 0.0, 0
        found = answers.answer(call, answers.Questions(ids, targets, whole.chance), batch_size=batch_size)
        return found["loss"], found["accuracy"], int(found["samples"])

    def weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """All of them."""
        return state

    def figures(self, val_loss: float) -> dict[str, float]:
        """What guessing gets right."""
        return {"chance": self._validation.chance}
