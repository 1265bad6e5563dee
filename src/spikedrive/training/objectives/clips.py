"""Training a classifier of clips of events."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from spikedrive.blocks import SpikingModel
from spikedrive.data import generator
from spikedrive.data.transforms import one_hot
from spikedrive.training.evaluation.clips import evaluate_clips
from spikedrive.training.objectives.classify import Classify
from spikedrive.training.prepare import Data, Part
from spikedrive.training.prepare.clip_augmentation import guided_mix
from spikedrive.training.prepare.clips import KEYS, Clips
from spikedrive.training.prepare.paired import KEYS as PAIRED_KEYS
from spikedrive.training.prepare.paired import Paired
from spikedrive.training.prepare.part import AUGMENT
from spikedrive.training.recipe import Recipe


class ClassifyClips(Classify):
    """The class of a clip."""

    takes = KEYS

    def __init__(self, model: SpikingModel, recipe: Recipe, classes: int) -> None:
        super().__init__(model, recipe, None)
        self._guided, self._classes = guided_mix(recipe), classes

    def loss(self, call: nn.Module, part: Part) -> tuple[Tensor, Tensor]:
        """As `Classify`, of frames that EventRPG augments where the recipe says so."""
        if self._guided is not None:
            targets = one_hot(part.targets, self._classes) if part.targets.dim() == 1 else part.targets
            x, targets = self._guided(self.module, part.x, targets, generator(part.seed, AUGMENT))
            part = replace(part, x=x, targets=targets)
        return super().loss(call, part)

    def validate(
        self, call: nn.Module, data: Data, *, batch_size: int, rank: int, world: int
    ) -> tuple[float, float, int]:
        """Cross-entropy and accuracy."""
        assert isinstance(data, Clips)
        found = evaluate_clips(
            call, data.validation, data.reader, batch_size=batch_size, rank=rank, world=world
        )
        return found["loss"], found["accuracy"], int(found["clips"])


class ClassifyPaired(Classify):
    """The class of a clip of two cameras."""

    takes = PAIRED_KEYS

    def validate(
        self, call: nn.Module, data: Data, *, batch_size: int, rank: int, world: int
    ) -> tuple[float, float, int]:
        """Cross-entropy and accuracy."""
        assert isinstance(data, Paired)
        found = evaluate_clips(
            call, data.validation, data.reader, batch_size=batch_size, rank=rank, world=world
        )
        return found["loss"], found["accuracy"], int(found["clips"])
