"""Training a classifier of clips of events."""

from __future__ import annotations

from torch import nn

from spikedrive.blocks import SpikingModel
from spikedrive.training.evaluation.clips import evaluate_clips
from spikedrive.training.objectives.classify import Classify
from spikedrive.training.prepare import Data
from spikedrive.training.prepare.clips import KEYS, Clips
from spikedrive.training.recipe import Recipe


class ClassifyClips(Classify):
    """The class of a clip."""

    takes = KEYS

    def __init__(self, model: SpikingModel, recipe: Recipe) -> None:
        super().__init__(model, recipe, None)

    def validate(
        self, call: nn.Module, data: Data, *, batch_size: int, rank: int, world: int
    ) -> tuple[float, float, int]:
        """Cross-entropy and accuracy."""
        assert isinstance(data, Clips)
        found = evaluate_clips(
            call, data.validation, data.reader, batch_size=batch_size, rank=rank, world=world
        )
        return found["loss"], found["accuracy"], int(found["clips"])
