"""From a recipe to clips of video, a model of frames with the head of the task, and the batches of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from spikedrive.blocks import SpikingModel
from spikedrive.data import generator
from spikedrive.data.video import VIDEO_SETS, VideoSet, load_video
from spikedrive.errors import ConfigError, DataError
from spikedrive.models import MODELS, create_model, get_card, load_weights
from spikedrive.training.prepare.keys import check_even, task_number
from spikedrive.training.prepare.part import MODEL, ORDER, SPLIT, WEIGHTS, Part, seed_of
from spikedrive.training.recipe import Recipe

VideoTask = Literal["video", "segment", "pose"]
HEADS: dict[str, str] = {"video": "classify", "segment": "segment", "pose": "pose"}
"""From a task to the head of a model that it trains."""


@dataclass(frozen=True, eq=False)
class Videos:
    """The clips to learn from and to choose a checkpoint by, and what is learned of them."""

    task: VideoTask
    train: VideoSet
    validation: VideoSet

    @property
    def names(self) -> tuple[str, ...]:
        """What the model's outputs stand for."""
        return names_of(self.task, self.train)

    @property
    def facts(self) -> dict[str, Any]:
        """What a resumed run must find again."""
        return {
            "task": self.task,
            "train": len(self.train),
            "validation": len(self.validation),
            "names": list(self.names),
            "frames": list(self.train.frames.shape[1:]),
        }

    @property
    def metadata(self) -> dict[str, Any]:
        """What a checkpoint says about them."""
        return {
            "task": self.task,
            "class_names": list(self.names),
            "input_size": list(self.train.frames.shape[2:]),
            **dict(zip(("mean", "std"), normalisation(self.train), strict=True)),
        }

    @property
    def counts(self) -> dict[str, int]:
        """How many there are."""
        return {"train_clips": len(self.train), "val_clips": len(self.validation)}


def names_of(task: VideoTask, clips: VideoSet) -> tuple[str, ...]:
    """Of the classes of a clip, of those of a pixel, or of the points."""
    return {"video": clips.class_names, "segment": clips.mask_names, "pose": clips.point_names}[task]


def normalisation(clips: VideoSet) -> tuple[list[float], list[float]]:
    """What pixels are normalised by, for each channel: 0 to 1 becomes -1 to 1."""
    channels = clips.frames.shape[2]
    return [0.5] * channels, [0.5] * channels


def as_frames(pixels: Tensor) -> Tensor:
    """What a model takes.

    *Shapes*: (n, T, C, H, W) uint8 -> (T, n, C, H, W) float32, from -1 to 1.
    """
    return pixels.movedim(1, 0).float() / 127.5 - 1


def targets_of(task: VideoTask, clips: VideoSet, chosen: Tensor) -> Tensor:
    """What should be answered.

    *Shapes*: labels (n,); masks (T, n, H, W) int64; points (T, n, K, 2).
    """
    if task == "video":
        return clips.labels[chosen]
    return (
        clips.masks[chosen].movedim(1, 0).long() if task == "segment" else clips.points[chosen].movedim(1, 0)
    )


def prepare_videos(recipe: Recipe) -> Videos:
    """The recipe's training clips, divided into training and validation; no test clip is opened.

    *Raises*: ConfigError for a model that takes no frames, or has no head for the task, or an unknown key; DataError
    for the clips.
    """
    task, card = recipe.task["name"], get_card(recipe.model)
    if recipe.model_args.get("input", card.input) != "frames":
        raise ConfigError(
            f"The task {task!r} got {recipe.model}, whose input is {card.input}; it trains models of frames. Choose "
            "one of `spikedrive models`, or set model_args.input=frames where the model takes it."
        )
    if task != "video" and "task" not in MODELS[recipe.model].config:
        raise ConfigError(
            f"The task {task!r} got {recipe.model}, which answers with classes of a clip alone; it trains models with "
            "heads for every frame. Choose a spike_video_former."
        )
    keys = ("clips", "balance") if task == "segment" else ("clips",)
    strange = [f"task.{key}" for key in recipe.task if key not in ("name", *keys)]
    strange += [key for key in ("teacher", "image_size", "augment", "mix") if getattr(recipe, key)]
    strange += ["label_smoothing"] if recipe.label_smoothing and task != "video" else []
    strange += ["model_args.task"] if "task" in recipe.model_args else []
    if strange:
        raise ConfigError(
            f"The task {task!r} got {', '.join(strange)}; it takes {', '.join(f'task.{key}' for key in keys)}, and "
            "chooses the head itself. Leave the others out."
        )
    whole = load_video(recipe.data, "train")
    most = task_number(recipe, "clips", None, int, 2)
    if most is not None:
        source = torch.Generator().manual_seed(0)
        whole = whole.subset(torch.randperm(len(whole), generator=source)[:most])
    train, validation = whole.split(recipe.val_fraction, seed=seed_of(recipe, SPLIT))
    if not len(validation) or len(train) < recipe.batch_size:
        raise DataError(
            f"{recipe.data} gives {len(train)} training and {len(validation)} validation clips; a step takes "
            f"batch_size={recipe.batch_size} and the choice of a checkpoint at least one. Set "
            f"batch_size={max(1, len(train))} or less."
        )
    return Videos(task, train, validation)


def prepare_video_model(recipe: Recipe, data: Videos) -> tuple[SpikingModel, list[str]]:
    """The model with its first weights, and what the user should know about it.

    *Raises*: CheckpointError where weights do not fit; ConfigError for model_args.
    """
    torch.manual_seed(seed_of(recipe, WEIGHTS))
    _, steps, channels, *_ = data.train.frames.shape
    known = MODELS[recipe.model].config
    given: dict[str, Any] = {"steps": steps, "in_channels": channels, **recipe.model_args}
    given |= {"classes": len(data.names)} | ({"task": HEADS[data.task]} if "task" in known else {})
    model = create_model(recipe.model, **given)
    if recipe.weights is not None:
        load_weights(model, recipe.weights)
    return model, []


class VideoBatches:
    """The optimizer steps of an epoch as a pure function of (recipe, epoch, step)."""

    def __init__(
        self, recipe: Recipe, data: Videos, *, device: torch.device, rank: int = 0, world: int = 1
    ) -> None:
        check_even(recipe, world)
        self._recipe, self._data, self._device, self._rank = recipe, data, device, rank
        self._part = recipe.batch_size // (world * recipe.accumulate)
        self.steps = len(data.train) // recipe.batch_size
        """Optimizer steps in an epoch; the last clips of its order wait for another one."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[list[Part]]:
        """This process's parts of every step from `start` on; epochs and steps count from 0."""
        recipe, size, data = self._recipe, self._part, self._data
        order = torch.randperm(len(data.train), generator=generator(recipe.seed, ORDER, epoch))
        for step in range(start, self.steps):
            parts = []
            for k in range(self._rank * recipe.accumulate, (self._rank + 1) * recipe.accumulate):
                first = step * recipe.batch_size + k * size
                chosen = order[first : first + size]
                x = as_frames(data.train.frames[chosen]).to(self._device)
                y = targets_of(data.task, data.train, chosen).to(self._device)
                parts.append(Part(x, y, seed_of(recipe, MODEL, epoch, step, k), size))
            yield parts


def is_video(source: str) -> bool:
    """Whether `source` names a set of video clips."""
    return source in VIDEO_SETS
