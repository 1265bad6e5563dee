"""From a recipe to questions about what stood earlier: new ones at every step, and fixed ones to choose by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from spikedrive.blocks import SpikingModel
from spikedrive.data.text import Tokenizer, check_fingerprint, open_tokenizer, tokenizer_record
from spikedrive.errors import ConfigError
from spikedrive.models import MODELS, create_model, load_weights
from spikedrive.tasks.answers import Questions
from spikedrive.tasks.mqar import multi_query_recall
from spikedrive.tasks.passkey import passkey
from spikedrive.training.prepare.keys import check_even, check_keys, task_number, unfit
from spikedrive.training.prepare.part import MODEL, ORDER, WEIGHTS, Part, seed_of
from spikedrive.training.recipe import Recipe

VALIDATION_TEXTS = 1
"""The seed of the questions that a checkpoint is chosen by; `spikedrive eval` asks those of seed 0."""


@dataclass(frozen=True, eq=False)
class Recall:
    """A kind of question: its `task`, the `settings` that its function takes, and the vocabulary it is asked in."""

    task: str
    settings: Mapping[str, int]
    samples: int
    vocabulary: int
    tokenizer: Tokenizer | None
    """Of the passkey; None for MQAR, whose tokens mean nothing."""

    def ask(self, seed: int, samples: int) -> Questions:
        """The questions of that seed."""
        if self.tokenizer is not None:
            return passkey(self.tokenizer, samples=samples, seed=seed, **self.settings)
        return multi_query_recall(self.vocabulary, samples=samples, seed=seed, **self.settings)

    @property
    def facts(self) -> dict[str, Any]:
        """What a resumed run must find again."""
        return {
            "task": self.task,
            **self.settings,
            "samples": self.samples,
            "tokenizer": self.tokenizer.fingerprint if self.tokenizer else None,
        }

    @property
    def metadata(self) -> dict[str, Any]:
        """What a checkpoint says about it, for `spikedrive eval` to ask alike."""
        record = tokenizer_record(self.tokenizer) if self.tokenizer else {}
        asked = {key: value for key, value in self.settings.items() if key != "length"}
        return {**record, "task": self.task, "context": self.settings["length"], "asked": asked}

    @property
    def counts(self) -> dict[str, int]:
        """How many there are to choose by."""
        return {"val_texts": self.samples}


def prepare_recall(recipe: Recipe) -> Recall:
    """The recipe's questions.

    *Raises*: ConfigError for a model that takes no tokens, a key of the task that is unknown or holds something else,
    or numbers that do not fit each other; DataError for a text too short for its tokenizer.
    """
    task = recipe.task["name"]
    if recipe.data != task:
        raise ConfigError(
            f"The task {task!r} got data={recipe.data}; it makes its texts itself, from the seed. Leave data out, or "
            f"set data={task}."
        )
    own, most, length = ("pairs", 8, 64) if task == "mqar" else ("digits", 5, 256)
    spelled = ("tokenizer",) if task == "passkey" else ()
    check_keys(recipe, ("length", own, "samples", "steps", *spelled))
    settings = {
        "length": task_number(recipe, "length", length, int, 1),
        own: task_number(recipe, own, most, int, 1),
    }
    samples = task_number(recipe, "samples", 256, int, 1)
    task_number(recipe, "steps", None, int, 1)
    config = {**MODELS[recipe.model].config, **recipe.model_args}
    tokenizer, vocabulary = None, int(config["vocabulary"])
    if task == "passkey":
        spec = recipe.task.get("tokenizer", "bytes")
        if not isinstance(spec, str):
            raise unfit("tokenizer", spec, "'bytes' or a path")
        tokenizer = open_tokenizer(spec)
        vocabulary = tokenizer.vocabulary
    recall = Recall(task, settings, samples, vocabulary, tokenizer)
    # what does not fit is told before anything is built
    recall.ask(0, 1)
    return recall


def prepare_recall_model(recipe: Recipe, recall: Recall) -> tuple[SpikingModel, list[str]]:
    """The model with its first weights, one logit a token of the vocabulary.

    *Raises*: CheckpointError where `weights` belongs to another model, or learned with another tokenizer; ConfigError
    for model_args.
    """
    torch.manual_seed(seed_of(recipe, WEIGHTS))
    model = create_model(recipe.model, **{**recipe.model_args, "vocabulary": recall.vocabulary})
    if recipe.weights is not None:
        record = load_weights(model, recipe.weights)
        if recall.tokenizer is not None:
            check_fingerprint(record, recall.tokenizer)
    return model, []


class RecallBatches:
    """The optimizer steps of an epoch as a pure function of (recipe, epoch, step): new questions at each."""

    def __init__(
        self, recipe: Recipe, recall: Recall, *, device: torch.device, rank: int = 0, world: int = 1
    ) -> None:
        check_even(recipe, world)
        self._recipe, self._recall, self._device = recipe, recall, device
        self._rank, self._world = rank, world
        self.steps: int = recipe.task.get("steps") or 100
        """Optimizer steps in an epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[list[Part]]:
        """This process's parts of every step from `start` on; epochs and steps count from 0."""
        recipe = self._recipe
        for step in range(start, self.steps):
            asked = self._recall.ask(seed_of(recipe, ORDER, epoch, step), recipe.batch_size)
            ids, targets = (x.tensor_split(self._world, 1)[self._rank] for x in (asked.ids, asked.targets))
            parts = zip(ids.chunk(recipe.accumulate, 1), targets.chunk(recipe.accumulate, 1), strict=True)
            yield [
                Part(
                    x.to(self._device),
                    y.to(self._device),
                    seed_of(recipe, MODEL, epoch, step, self._rank * recipe.accumulate + k),
                    x.shape[1],
                )
                for k, (x, y) in enumerate(parts)
            ]
