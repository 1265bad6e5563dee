"""Masked pretraining: an encoder for images without labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikedrive.blocks import SpikingModel
from spikedrive.data import generator
from spikedrive.errors import ConfigError
from spikedrive.tasks import MaskedAutoencoder, masked_loss
from spikedrive.training.evaluation.images import normalised_batches
from spikedrive.training.objectives.objective import Objective
from spikedrive.training.prepare import Images, Part
from spikedrive.training.recipe import Recipe

VALIDATION_MASKS = 1
"""The seed of the masks under which validation images are judged, equal in every epoch and run."""


class PaintMasked(Objective):
    """The pixels of masked patches, from the visible ones; labels are not looked at."""

    has_accuracy = False

    def __init__(self, model: SpikingModel, recipe: Recipe, images: Images) -> None:
        arguments = {key: value for key, value in recipe.task.items() if key != "name"}
        height, width = images.validation.shape[1:]
        try:
            self._autoencoder = MaskedAutoencoder(model, (height, width), **arguments)
        except TypeError as error:
            raise ConfigError(
                f"The task 'masked' got {arguments}, which it does not take ({error}); it takes ratio, width and "
                "depth (of the decoder). Correct task."
            ) from error
        super().__init__(self._autoencoder)

    def loss(self, call: nn.Module, part: Part) -> tuple[Tensor, Tensor]:
        """The error on masked patches, under masks that the part's seed decides."""
        visible = self._draw(part.x, torch.Generator().manual_seed(part.seed))
        loss = masked_loss(call(part.x, visible), part.x, visible)
        return loss, torch.zeros_like(loss.detach())

    @torch.no_grad()
    def validate(
        self, call: nn.Module, data: Images, *, batch_size: int, rank: int, world: int
    ) -> tuple[float, float, int]:
        """The error on masked patches, under the same masks every time."""
        source, total, count = generator(VALIDATION_MASKS, rank), 0.0, 0
        training = call.training
        call.eval()
        for which, x, _ in normalised_batches(
            call, data.validation, batch_size, mean=data.mean, std=data.std, rank=rank, world=world
        ):
            visible = self._draw(x, source)
            prediction = call(x, visible)
            if len(which):
                total += float(masked_loss(prediction, x, visible)) * len(which)
            count += len(which)
        call.train(training)
        return total / max(1, count), 0.0, count

    def weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The encoder's, with the head that it began with."""
        return {key.removeprefix("encoder."): t for key, t in state.items() if key.startswith("encoder.")}

    def figures(self, val_loss: float) -> dict[str, float]:
        """Nothing."""
        return {}

    def _draw(self, x: Tensor, source: torch.Generator) -> Tensor:
        return self._autoencoder.draw(len(x), source).to(x.device)
