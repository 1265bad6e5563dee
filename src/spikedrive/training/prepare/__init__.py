"""From a recipe to data, a model and the batches of an epoch."""

from __future__ import annotations

import torch

from spikedrive.blocks import SpikingModel
from spikedrive.training.prepare.clips import ClipBatches, Clips, prepare_clip_model, prepare_clips
from spikedrive.training.prepare.flow import Flow, FlowBatches, prepare_flow, prepare_flow_model
from spikedrive.training.prepare.images import Batches, Images, prepare_images, prepare_model
from spikedrive.training.prepare.labelled import (
    NAME,
    Labelled,
    LabelledBatches,
    prepare_labelled,
    prepare_text_classifier,
)
from spikedrive.training.prepare.paired import Paired, PairedBatches, prepare_paired, prepare_paired_model
from spikedrive.training.prepare.part import Part
from spikedrive.training.prepare.recall import Recall, RecallBatches, prepare_recall, prepare_recall_model
from spikedrive.training.prepare.text import Text, TextBatches, prepare_language_model, prepare_text
from spikedrive.training.prepare.video import (
    HEADS,
    VideoBatches,
    Videos,
    prepare_video_model,
    prepare_videos,
)
from spikedrive.training.recipe import Recipe

__all__ = [
    "AnyBatches", "Batches", "ClipBatches", "Clips", "Data", "Flow", "FlowBatches", "Images", "Labelled",
    "LabelledBatches", "Paired", "PairedBatches", "Part", "Recall", "RecallBatches", "Text", "TextBatches",
    "VideoBatches", "Videos", "batches_of", "model_for", "prepare_clip_model", "prepare_clips", "prepare_data",
    "prepare_flow", "prepare_flow_model", "prepare_images", "prepare_labelled", "prepare_language_model",
    "prepare_model", "prepare_paired", "prepare_paired_model", "prepare_recall", "prepare_text",
    "prepare_text_classifier", "prepare_video_model", "prepare_videos",
]  # fmt: skip

Data = Clips | Flow | Images | Labelled | Paired | Recall | Text | Videos
AnyBatches = (
    Batches
    | ClipBatches
    | FlowBatches
    | LabelledBatches
    | PairedBatches
    | RecallBatches
    | TextBatches
    | VideoBatches
)


def prepare_data(recipe: Recipe) -> Data:
    """What the recipe's task learns from.

    *Raises*: as `prepare_images`, `prepare_text`, `prepare_recall` or `prepare_labelled`.
    """
    name = recipe.task.get("name")
    if name == "events":
        return prepare_clips(recipe)
    if name in HEADS:
        return prepare_videos(recipe)
    if name == "paired":
        return prepare_paired(recipe)
    if name == "flow":
        return prepare_flow(recipe)
    if name == NAME:
        return prepare_labelled(recipe)
    if name in ("mqar", "passkey"):
        return prepare_recall(recipe)
    return prepare_text(recipe) if name == "lm" else prepare_images(recipe)


def model_for(recipe: Recipe, data: Data) -> tuple[SpikingModel, list[str]]:
    """The model with its first weights, and what the user should know about it.

    *Raises*: as `prepare_model`, `prepare_language_model` or `prepare_text_classifier`.
    """
    if isinstance(data, Clips):
        return prepare_clip_model(recipe, data)
    if isinstance(data, Videos):
        return prepare_video_model(recipe, data)
    if isinstance(data, Paired):
        return prepare_paired_model(recipe, data)
    if isinstance(data, Flow):
        return prepare_flow_model(recipe, data)
    if isinstance(data, Labelled):
        return prepare_text_classifier(recipe, data)
    if isinstance(data, Recall):
        return prepare_recall_model(recipe, data)
    return prepare_language_model(recipe, data) if isinstance(data, Text) else prepare_model(recipe, data)


def batches_of(
    recipe: Recipe, data: Data, *, device: torch.device, rank: int = 0, world: int = 1
) -> AnyBatches:
    """The optimizer steps of each epoch.

    *Raises*: ConfigError where a batch does not come out evenly.
    """
    if isinstance(data, Images):
        return Batches(recipe, data, device=device, rank=rank, world=world)
    if isinstance(data, Clips):
        return ClipBatches(recipe, data, device=device, rank=rank, world=world)
    if isinstance(data, Videos):
        return VideoBatches(recipe, data, device=device, rank=rank, world=world)
    if isinstance(data, Paired):
        return PairedBatches(recipe, data, device=device, rank=rank, world=world)
    if isinstance(data, Flow):
        return FlowBatches(recipe, data, device=device, rank=rank, world=world)
    if isinstance(data, Labelled):
        return LabelledBatches(recipe, data, device=device, rank=rank, world=world)
    if isinstance(data, Recall):
        return RecallBatches(recipe, data, device=device, rank=rank, world=world)
    return TextBatches(recipe, data, device=device, rank=rank, world=world)
