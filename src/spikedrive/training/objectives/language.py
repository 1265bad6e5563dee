"""Training a language model: the next token, from those before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikedrive.blocks import SpikingModel
from spikedrive.tasks import lm
from spikedrive.training.evaluation.text import evaluate_text
from spikedrive.training.objectives.objective import Objective
from spikedrive.training.prepare import Part, Text
from spikedrive.training.recipe import Recipe


class NextToken(Objective):
    """The next token of a crop, at every place of it."""

    has_accuracy = False

    def __init__(self, model: SpikingModel, recipe: Recipe, text: Text) -> None:
        super().__init__(model)
        self._wrap, self._text = float(recipe.task.get("wrap", 0.0)), text

    def loss(self, call: nn.Module, part: Part) -> tuple[Tensor, Tensor]:
        """Cross-entropy in nats a token."""
        loss = lm.loss(call(part.x), part.targets, wrap=self._wrap)
        return loss, torch.zeros_like(loss.detach())

    def validate(
        self, call: nn.Module, data: Text, *, batch_size: int, rank: int, world: int
    ) -> tuple[float, float, int]:
        """Cross-entropy in nats a token over windows of the validation text."""
        found = evaluate_text(
            call, data.validation, context=data.context, batch_size=batch_size, rank=rank, world=world
        )
        return found["loss"], 0.0, int(found["tokens"])

    def weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """All of them."""
        return state

    def figures(self, val_loss: float) -> dict[str, float]:
        """Bits a byte of UTF-8, and perplexity a token."""
        return {
            "val_bits_per_byte": lm.bits_per_byte(val_loss, self._text.validation.bytes_per_token),
            "val_perplexity": lm.perplexity(val_loss),
        }
