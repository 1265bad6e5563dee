"""From a recipe to labelled clips of two cameras, a model that takes both, and the batches of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from spikedrive.blocks import SpikingModel
from spikedrive.data import generator
from spikedrive.data.events import PairedReader, PairedSet, load_paired
from spikedrive.data.events.reading import MOST
from spikedrive.errors import ConfigError, DataError
from spikedrive.models import MODELS, create_model, load_model, load_weights
from spikedrive.training.prepare.keys import check_even, task_number, unfit
from spikedrive.training.prepare.part import MODEL, ORDER, SPLIT, WEIGHTS, Part, seed_of
from spikedrive.training.recipe import Recipe

NAME = "paired"
KEYS = ("window", "levels", "clips", "anytime")


@dataclass(frozen=True, eq=False)
class Paired:
    """The clips to learn from and to choose a checkpoint by, and how they are read."""

    train: PairedSet
    validation: PairedSet
    reader: PairedReader

    @property
    def facts(self) -> dict[str, Any]:
        """What a resumed run must find again."""
        return {**self.counts, "class_names": list(self.train.class_names), "events": self.reader.record}

    @property
    def metadata(self) -> dict[str, Any]:
        """What a checkpoint says about them."""
        return {"class_names": list(self.train.class_names), "events": self.reader.record}

    @property
    def counts(self) -> dict[str, int]:
        """How many there are."""
        return {"train_clips": len(self.train), "val_clips": len(self.validation)}


def prepare_paired(recipe: Recipe) -> Paired:
    """The recipe's training clips, divided into training and validation; no test clip is opened.

    *Raises*: ConfigError for a model that does not name its cameras, or an unknown key; DataError for the clips.
    """
    arguments = {**MODELS[recipe.model].config, **recipe.model_args}
    if "inputs" not in arguments or arguments.get("input") != "frames":
        raise ConfigError(
            f"The task {NAME!r} got {recipe.model}, which takes one camera; it trains models of frames with inputs= "
            "for each camera. Use mmhco_nano, or the task events."
        )
    strange = [f"task.{key}" for key in recipe.task if key not in ("name", *KEYS)]
    strange += [key for key in ("teacher", "image_size", "augment", "mix") if getattr(recipe, key)]
    if strange:
        raise ConfigError(
            f"The task {NAME!r} got {', '.join(strange)}; it takes {', '.join(f'task.{k}' for k in KEYS)}. Leave the "
            "others out; the size of frames is model_args.image_size."
        )
    whole = load_paired(recipe.data, "train")
    most = task_number(recipe, "clips", None, int, 2)
    if most is not None:
        whole = whole.subset(torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))[:most])
    train, validation = whole.split(recipe.val_fraction, seed=seed_of(recipe, SPLIT))
    if not len(validation) or len(train) < recipe.batch_size:
        raise DataError(
            f"{recipe.data} gives {len(train)} training and {len(validation)} validation clips; a step takes "
            f"batch_size={recipe.batch_size} and the choice of a checkpoint at least one. Add clips, or set "
            f"batch_size={max(1, len(train))} or less."
        )
    size = arguments["image_size"]
    height, width = (size, size) if isinstance(size, int) else size
    if whole.event_channels == 2 and (whole.width < width or whole.height < height):
        raise ConfigError(
            f"{recipe.model} got frames of {width} x {height} of events from a sensor of {whole.width} x "
            f"{whole.height}; frames as large at most are taken. Set model_args.image_size="
            f"{min(whole.width, whole.height)}."
        )
    reader = PairedReader(
        arguments["steps"], width, height, tuple(arguments["inputs"]), whole.event_channels,
        task_number(recipe, "window", None, int, 1), task_number(recipe, "levels", MOST, int, 1),
    )  # fmt: skip
    return Paired(train, validation, reader)


def prepare_paired_model(recipe: Recipe, data: Paired) -> tuple[SpikingModel, list[str]]:
    """The model with its first weights, and what the user should know about it.

    *Raises*: CheckpointError where weights do not fit; ConfigError for model_args.
    """
    torch.manual_seed(seed_of(recipe, WEIGHTS))
    classes, channels = data.train.class_names, data.reader.event_channels
    if recipe.model_args.get("event_channels", channels) != channels:
        raise unfit(
            "model_args.event_channels",
            recipe.model_args["event_channels"],
            f"what the clips have, {channels}",
        )
    model = create_model(
        recipe.model, **{**recipe.model_args, "event_channels": channels, "classes": len(classes)}
    )
    if recipe.weights is None:
        return model, []
    given = load_model(recipe.weights).metadata
    fresh = tuple(given.get("class_names", ())) != classes
    load_weights(model, recipe.weights, new_head=fresh)
    note = f"{recipe.weights} was trained for other classes; the head for these {len(classes)} starts anew."
    return model, [note] if fresh else []


class PairedBatches:
    """The optimizer steps of an epoch as a pure function of (recipe, epoch, step)."""

    def __init__(
        self, recipe: Recipe, data: Paired, *, device: torch.device, rank: int = 0, world: int = 1
    ) -> None:
        self._recipe, self._data, self._device, self._rank = recipe, data, device, rank
        check_even(recipe, world)
        self._part = recipe.batch_size // (world * recipe.accumulate)
        self.steps = len(data.train) // recipe.batch_size
        """Optimizer steps in an epoch; the last clips of its order wait for another one."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[list[Part]]:
        """This process's parts of every step from `start` on; epochs and steps count from 0."""
        recipe, size, train = self._recipe, self._part, self._data.train
        order = torch.randperm(len(train), generator=generator(recipe.seed, ORDER, epoch))
        for step in range(start, self.steps):
            parts = []
            for k in range(self._rank * recipe.accumulate, (self._rank + 1) * recipe.accumulate):
                first = step * recipe.batch_size + k * size
                chosen = order[first : first + size]
                x = self._data.reader([train[int(i)] for i in chosen])
                targets = train.labels[chosen]
                seed = seed_of(recipe, MODEL, epoch, step, k)
                parts.append(Part(x.to(self._device), targets.to(self._device), seed, size))
            yield parts
