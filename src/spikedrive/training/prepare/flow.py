"""From a recipe to clips of events with their optical flow, a model and the batches of an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikedrive.blocks import SpikingModel
from spikedrive.data import generator
from spikedrive.data.events import FrameReader
from spikedrive.data.events.simulated import FlowSet, load_flow
from spikedrive.errors import ConfigError, DataError
from spikedrive.models import create_model, get_card, load_weights
from spikedrive.training.prepare.keys import check_even, task_number
from spikedrive.training.prepare.part import MODEL, ORDER, SPLIT, WEIGHTS, Part, seed_of
from spikedrive.training.recipe import Recipe

KEYS = ("dt", "size", "clips", "angle")


@dataclass(frozen=True, eq=False)
class FlowPart:
    """Some clips of a set."""

    whole: FlowSet
    which: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.which)

    def read(self, chosen: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Frames of counts, and the flow with a third map that is 1 where a pixel sent an event.

        *Shapes*: (T, B, 2, H, W), (T, B, 3, H, W).
        """
        clips = [self.whole[self.which[i]] for i in chosen]
        reader = FrameReader(len(clips[0].flow), self.whole.width, self.whole.height, self.whole.dt)
        truth = [np.concatenate([clip.flow, clip.mask[:, None]], 1, dtype=np.float32) for clip in clips]
        return reader([clip.events for clip in clips]), torch.from_numpy(np.stack(truth, 1))


@dataclass(frozen=True, eq=False)
class Flow:
    """The clips to learn from and to choose a checkpoint by."""

    train: FlowPart
    validation: FlowPart
    name: str

    @property
    def facts(self) -> dict[str, Any]:
        """What a resumed run must find again."""
        return {"train": len(self.train), "validation": len(self.validation), **self.metadata}

    @property
    def metadata(self) -> dict[str, Any]:
        """What a checkpoint says about them."""
        whole = self.train.whole
        return {"flow": {"data": self.name, "dt": whole.dt, "size": whole.width}}

    @property
    def counts(self) -> dict[str, int]:
        """How many there are."""
        return {"train_clips": len(self.train), "val_clips": len(self.validation)}


def prepare_flow(recipe: Recipe) -> Flow:
    """The recipe's training clips, divided into training and validation; no test clip is opened.

    *Raises*: ConfigError for a model that predicts no flow, or an unknown key; UnknownNameError and DataError for the
    clips.
    """
    card = get_card(recipe.model)
    if card.task != "flow":
        raise ConfigError(
            f"The task 'flow' got {recipe.model}, which answers with {card.task}; it trains models whose card has the "
            "task flow. Choose event_flow_nano, or another one of `spikedrive models`."
        )
    fields = ("teacher", "image_size", "augment", "mix", "label_smoothing")
    strange = [f"task.{key}" for key in recipe.task if key not in ("name", *KEYS)]
    strange += [key for key in fields if getattr(recipe, key)]
    if strange:
        raise ConfigError(
            f"The task 'flow' got {', '.join(strange)}; it takes {', '.join(f'task.{k}' for k in KEYS)}. Leave the "
            "others out."
        )
    whole = load_flow(
        recipe.data,
        "train",
        clips=task_number(recipe, "clips", None, int, 2),
        size=task_number(recipe, "size", 64, int, 1),
        dt=task_number(recipe, "dt", 20_000, int, 1),
    )
    source = torch.Generator().manual_seed(seed_of(recipe, SPLIT))
    order = torch.randperm(len(whole), generator=source).tolist()
    held = max(1, round(len(whole) * recipe.val_fraction))
    train, validation = FlowPart(whole, tuple(order[held:])), FlowPart(whole, tuple(order[:held]))
    if len(train) < recipe.batch_size:
        raise DataError(
            f"{recipe.data} gives {len(train)} training clips; a step takes batch_size={recipe.batch_size}. Ask for "
            f"more with task.clips, or set batch_size={max(1, len(train))} or less."
        )
    return Flow(train, validation, recipe.data)


def prepare_flow_model(recipe: Recipe, data: Flow) -> tuple[SpikingModel, list[str]]:
    """The model with its first weights, and what the user should know about it.

    *Raises*: CheckpointError where weights do not fit; ConfigError for model_args.
    """
    torch.manual_seed(seed_of(recipe, WEIGHTS))
    model = create_model(recipe.model, **recipe.model_args)
    if recipe.weights is not None:
        load_weights(model, recipe.weights)
    return model, []


class FlowBatches:
    """The optimizer steps of an epoch as a pure function of (recipe, epoch, step)."""

    def __init__(
        self, recipe: Recipe, data: Flow, *, device: torch.device, rank: int = 0, world: int = 1
    ) -> None:
        self._recipe, self._train, self._device, self._rank = recipe, data.train, device, rank
        check_even(recipe, world)
        self._part = recipe.batch_size // (world * recipe.accumulate)
        self.steps = len(data.train) // recipe.batch_size
        """Optimizer steps in an epoch; the last clips of its order wait for another one."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[list[Part]]:
        """This process's parts of every step from `start` on; epochs and steps count from 0."""
        recipe, size = self._recipe, self._part
        order = torch.randperm(len(self._train), generator=generator(recipe.seed, ORDER, epoch)).tolist()
        for step in range(start, self.steps):
            parts = []
            for k in range(self._rank * recipe.accumulate, (self._rank + 1) * recipe.accumulate):
                first = step * recipe.batch_size + k * size
                x, truth = self._train.read(order[first : first + size])
                seed = seed_of(recipe, MODEL, epoch, step, k)
                parts.append(Part(x.to(self._device), truth.to(self._device), seed, size))
            yield parts
