"""Objectives: how each task trains, behind one face for the loop."""

from __future__ import annotations

from spikedrive.blocks import SpikingModel
from spikedrive.errors import ConfigError, unknown_name
from spikedrive.training.distill import Teacher
from spikedrive.training.objectives.classify import Classify
from spikedrive.training.objectives.clips import ClassifyClips, ClassifyPaired
from spikedrive.training.objectives.flow import PredictFlow
from spikedrive.training.objectives.labelled import ClassifyText
from spikedrive.training.objectives.language import NextToken
from spikedrive.training.objectives.masked import PaintMasked
from spikedrive.training.objectives.objective import Objective
from spikedrive.training.objectives.recall import AnswerRecall
from spikedrive.training.objectives.video import WatchVideo
from spikedrive.training.prepare import Clips, Data, Flow, Labelled, Paired, Recall, Text, Videos
from spikedrive.training.recipe import TASKS, Recipe

__all__ = [
    "AnswerRecall",
    "Classify",
    "ClassifyClips",
    "ClassifyPaired",
    "ClassifyText",
    "NextToken",
    "Objective",
    "PaintMasked",
    "PredictFlow",
    "WatchVideo",
    "prepare_objective",
]


def prepare_objective(recipe: Recipe, model: SpikingModel, data: Data, teacher: Teacher | None) -> Objective:
    """The recipe's task over the model.

    *Raises*: UnknownNameError for another name; ConfigError for what the task does not take.
    """
    name = recipe.task.get("name")
    if name not in TASKS:
        raise unknown_name("task", str(name), TASKS)
    if isinstance(data, Clips):
        return ClassifyClips(model, recipe, len(data.train.class_names))
    if isinstance(data, Videos):
        return WatchVideo(model, recipe, data)
    if isinstance(data, Paired):
        return ClassifyPaired(model, recipe, None)
    if isinstance(data, Flow):
        return PredictFlow(model, recipe)
    if isinstance(data, Labelled):
        return ClassifyText(model, recipe)
    if isinstance(data, Text):
        return NextToken(model, recipe, data)
    if isinstance(data, Recall):
        return AnswerRecall(model, data)
    if name == "classify":
        return Classify(model, recipe, teacher)
    given = [key for key in ("teacher", "mix", "label_smoothing") if getattr(recipe, key)]
    if given:
        raise ConfigError(
            f"The task 'masked' got {', '.join(given)}, which are about labels; it looks at none. Leave them out, "
            "and use them where the pretrained weights are fine-tuned."
        )
    return PaintMasked(model, recipe, data)
