"""From a recipe to tokens, a language model and the crops of an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from spikedrive.blocks import SpikingModel
from spikedrive.data.text import (
    TokenCrops,
    TokenSet,
    check_fingerprint,
    load_tokens,
    open_tokenizer,
    tokenizer_record,
)
from spikedrive.models import create_model, load_weights
from spikedrive.training.prepare.keys import check_even, check_keys, task_number, unfit
from spikedrive.training.prepare.part import MODEL, ORDER, WEIGHTS, Part, seed_of
from spikedrive.training.recipe import Recipe

_KEYS = ("context", "tokenizer", "steps", "wrap")


@dataclass(frozen=True, eq=False)
class Text:
    """The tokens to learn from and to choose a checkpoint by; texts of the two differ."""

    train: TokenSet
    validation: TokenSet
    context: int
    tokenizer: Mapping[str, str]
    """What a checkpoint keeps of it: `tokenizer_record`."""

    @property
    def facts(self) -> dict[str, Any]:
        """What a resumed run must find again."""
        return {
            "train": len(self.train),
            "validation": len(self.validation),
            "tokenizer": self.train.fingerprint,
            "context": self.context,
        }

    @property
    def metadata(self) -> dict[str, Any]:
        """What a checkpoint says about it."""
        return {
            **self.tokenizer,
            "context": self.context,
            "bytes_per_token": self.validation.bytes_per_token,
        }

    @property
    def counts(self) -> dict[str, int]:
        """How much there is of it."""
        return {"train_tokens": len(self.train), "val_tokens": len(self.validation)}


def prepare_text(recipe: Recipe) -> Text:
    """The recipe's training and validation texts as tokens; no test text is opened.

    *Raises*: ConfigError for a model that takes no tokens, or a key of the task that is unknown or holds something
    else; DataError for the text.
    """
    check_keys(recipe, _KEYS)
    context = task_number(recipe, "context", 256, int, 1)
    # told before any text is read
    task_number(recipe, "steps", None, int, 1)
    task_number(recipe, "wrap", 0.0, float, 0)
    spec = recipe.task.get("tokenizer", "bytes")
    if not isinstance(spec, str):
        raise unfit("tokenizer", spec, "'bytes' or a path")
    tokenizer = open_tokenizer(spec)
    train, validation = (load_tokens(recipe.data, split, tokenizer) for split in ("train", "val"))
    return Text(train, validation, context, tokenizer_record(tokenizer))


def prepare_language_model(recipe: Recipe, text: Text) -> tuple[SpikingModel, list[str]]:
    """The model with its first weights, one logit a token of the vocabulary.

    *Raises*: CheckpointError where `weights` belongs to another model, or learned with another tokenizer; ConfigError
    for model_args.
    """
    torch.manual_seed(seed_of(recipe, WEIGHTS))
    model = create_model(recipe.model, **{**recipe.model_args, "vocabulary": text.train.vocabulary})
    if recipe.weights is not None:
        check_fingerprint(load_weights(model, recipe.weights), text.train)
    return model, []


class TextBatches:
    """The optimizer steps of an epoch as a pure function of (recipe, epoch, step): random crops of the text."""

    def __init__(
        self, recipe: Recipe, text: Text, *, device: torch.device, rank: int = 0, world: int = 1
    ) -> None:
        self._recipe, self._device, self._rank, self._world = recipe, device, rank, world
        check_even(recipe, world)
        self._crops = TokenCrops(
            text.train, context=text.context, batch=recipe.batch_size, seed=seed_of(recipe, ORDER)
        )
        a_pass = len(text.train) // (recipe.batch_size * text.context)
        self.steps: int = recipe.task.get("steps") or max(1, a_pass)
        """Optimizer steps in an epoch: task.steps, or as many as there is text."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[list[Part]]:
        """This process's parts of every step from `start` on; epochs and steps count from 0."""
        recipe = self._recipe
        for step in range(start, self.steps):
            ids, targets = self._crops(epoch, step, self._rank, self._world)
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
