"""From a recipe to labelled clips of events, a model of frames or points and the batches of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spikedrive.blocks import SpikingModel
from spikedrive.data import generator
from spikedrive.data.events import Events, EventSet
from spikedrive.data.events.reading import MOST, FrameReader, PointReader
from spikedrive.data.events.sources import load_events
from spikedrive.data.transforms import one_hot
from spikedrive.errors import ConfigError, DataError
from spikedrive.models import MODELS, create_model, get_card, load_model, load_weights
from spikedrive.training.prepare.clip_augmentation import clip_mixes, clip_moves
from spikedrive.training.prepare.keys import check_even, task_number, unfit
from spikedrive.training.prepare.part import AUGMENT, MODEL, ORDER, SPLIT, WEIGHTS, Part, seed_of
from spikedrive.training.recipe import Recipe

NAME = "events"
KEYS = ("window", "steps", "levels", "size", "points", "clips", "anytime")


@dataclass(frozen=True, eq=False)
class Clips:
    """The clips to learn from and to choose a checkpoint by, and how they are read."""

    train: EventSet
    validation: EventSet
    reader: FrameReader | PointReader

    @property
    def facts(self) -> dict[str, Any]:
        """What a resumed run must find again."""
        return {
            "train": len(self.train),
            "validation": len(self.validation),
            "class_names": list(self.train.class_names),
            "events": self.reader.record,
        }

    @property
    def metadata(self) -> dict[str, Any]:
        """What a checkpoint says about them; the engine, which takes bytes divided by 255, is told to undo that."""
        known = {
            "class_names": list(self.train.class_names),
            "events": self.reader.record,
            "sensor": [self.train.width, self.train.height],
        }
        if isinstance(self.reader, PointReader):
            return known
        size = [2, self.reader.height, self.reader.width]
        return {**known, "input_size": size, "mean": [0.0, 0.0], "std": [1 / 255, 1 / 255]}

    @property
    def counts(self) -> dict[str, int]:
        """How many there are."""
        return {"train_clips": len(self.train), "val_clips": len(self.validation)}


def prepare_clips(recipe: Recipe) -> Clips:
    """The recipe's training clips, divided into training and validation; no test clip is opened.

    *Raises*: ConfigError for a model that takes neither frames nor points, or an unknown key; DataError for the clips.
    """
    card = get_card(recipe.model)
    if recipe.model_args.get("input", card.input) not in ("frames", "points"):
        raise ConfigError(
            f"The task {NAME!r} got {recipe.model}, whose input is {card.input}; it trains models of frames or points. "
            "Choose one of `spikedrive models`, or set model_args.input=frames where the model takes it."
        )
    if "inputs" in MODELS[recipe.model].config:
        raise ConfigError(
            f"The task {NAME!r} got {recipe.model}, which takes two cameras; it trains models of one. Use the task "
            "paired, on paired_actions or hardvs2:FOLDER."
        )
    strange = [f"task.{key}" for key in recipe.task if key not in ("name", *KEYS)]
    strange += [key for key in ("teacher", "image_size") if getattr(recipe, key)]
    if strange:
        raise ConfigError(
            f"The task {NAME!r} got {', '.join(strange)}; it takes {', '.join(f'task.{k}' for k in KEYS)}. Leave the "
            "others out."
        )
    whole = load_events(recipe.data, "train")
    most = task_number(recipe, "clips", None, int, 2)
    if most is not None:
        source = torch.Generator().manual_seed(0)
        whole = whole.subset(torch.randperm(len(whole), generator=source)[:most])
    train, validation = whole.split(recipe.val_fraction, seed=seed_of(recipe, SPLIT))
    if not len(validation) or len(train) < recipe.batch_size:
        raise DataError(
            f"{recipe.data} gives {len(train)} training and {len(validation)} validation clips; a step takes "
            f"batch_size={recipe.batch_size} and the choice of a checkpoint at least one. Add clips, or set "
            f"batch_size={max(1, len(train))} or less."
        )
    return Clips(train, validation, _reader(recipe, whole))


def _reader(recipe: Recipe, clips: EventSet) -> FrameReader | PointReader:
    card = get_card(recipe.model)
    points = recipe.model_args.get("input", card.input) == "points"
    own = ("points",) if points else ("window", "steps", "levels", "size", "anytime")
    strange = [key for key in recipe.task if key not in ("name", "clips", *own)]
    if strange:
        raise unfit(strange[0], recipe.task[strange[0]], f"nothing for a model of {card.input}")
    if points:
        channels = recipe.model_args.get("in_channels", card.input_size[0])
        return PointReader(task_number(recipe, "points", card.input_size[1], int, 1), polarity=channels > 3)
    steps = task_number(recipe, "steps", recipe.model_args.get("steps", card.steps), int, 1)
    window = task_number(recipe, "window", None, int, 1)
    levels = task_number(recipe, "levels", MOST, int, 1)
    size = task_number(recipe, "size", None, int, 1)
    _, height, width = card.input_size
    height, width = (size, size) if size is not None else (height, width)
    if clips.width < width or clips.height < height:
        raise unfit("size", f"{width} x {height}", f"at most the sensor's {clips.width} x {clips.height}")
    return FrameReader(steps, width, height, window, levels)


def prepare_clip_model(recipe: Recipe, data: Clips) -> tuple[SpikingModel, list[str]]:
    """The model with its first weights, and what the user should know about it.

    *Raises*: CheckpointError where weights do not fit; ConfigError for model_args.
    """
    torch.manual_seed(seed_of(recipe, WEIGHTS))
    classes = data.train.class_names
    reader = data.reader
    defaults = {"steps": reader.steps, "in_channels": 2} if isinstance(reader, FrameReader) else {}
    model = create_model(recipe.model, **{**defaults, **recipe.model_args, "classes": len(classes)})
    if recipe.weights is None:
        return model, []
    given = load_model(recipe.weights).metadata
    fresh = tuple(given.get("class_names", ())) != classes
    load_weights(model, recipe.weights, new_head=fresh)
    note = f"{recipe.weights} was trained for other classes; the head for these {len(classes)} starts anew."
    return model, [note] if fresh else []


class ClipBatches:
    """The optimizer steps of an epoch as a pure function of (recipe, epoch, step)."""

    def __init__(
        self, recipe: Recipe, data: Clips, *, device: torch.device, rank: int = 0, world: int = 1
    ) -> None:
        self._recipe, self._data, self._device, self._rank = recipe, data, device, rank
        check_even(recipe, world)
        self._part = recipe.batch_size // (world * recipe.accumulate)
        self._moves, self._mixes = clip_moves(recipe), clip_mixes(recipe)
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
                clips, targets = self._augmented(chosen, epoch, step, k)
                seed = seed_of(recipe, MODEL, epoch, step, k)
                x = self._data.reader(clips, seed)
                parts.append(Part(x.to(self._device), targets.to(self._device), seed, size))
            yield parts

    def _augmented(self, chosen: Tensor, epoch: int, step: int, part: int) -> tuple[list[Events], Tensor]:
        recipe, train = self._recipe, self._data.train
        # by the clip and not by its place, so that other numbers of processes draw alike
        clips = [self._moves(train[int(i)], generator(recipe.seed, AUGMENT, epoch, int(i))) for i in chosen]
        labels = train.labels[chosen]
        if not self._mixes or 0 < recipe.mix_epochs <= epoch:
            return clips, labels
        source = generator(recipe.seed, AUGMENT, epoch, step, part)
        mix = self._mixes[int(torch.randint(len(self._mixes), (), generator=source))]
        return mix(clips, one_hot(labels, len(train.class_names)), source)
