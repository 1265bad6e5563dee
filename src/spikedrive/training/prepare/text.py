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
from spikedrive.errors import ConfigError
from spikedrive.models import create_model, get_card, load_weights
from spikedrive.training.prepare.part import MODEL, ORDER, WEIGHTS, Part, seed_of
from spikedrive.training.recipe import Recipe

_KEYS = ("name", "context", "tokenizer", "steps", "wrap")


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
    if get_card(recipe.model).input != "tokens":
        raise ConfigError(
            f"The task 'lm' got {recipe.model}, which takes images; it trains models of tokens. Choose one of "
            "`spikedrive models` whose input is tokens."
        )
    strange = [key for key in recipe.task if key not in _KEYS]
    given = [
        key for key in ("teacher", "mix", "augment", "label_smoothing", "image_size") if getattr(recipe, key)
    ]
    if strange or given:
        raise ConfigError(
            f"The task 'lm' got {', '.join([*(f'task.{key}' for key in strange), *given])}; it takes "
            f"{', '.join(f'task.{key}' for key in _KEYS[1:])}. Leave the others out."
        )
    context = _number(recipe, "context", 256, int, 1)
    # told before any text is read
    _number(recipe, "steps", None, int, 1)
    _number(recipe, "wrap", 0.0, float, 0)
    spec = recipe.task.get("tokenizer", "bytes")
    if not isinstance(spec, str):
        raise _unfit("tokenizer", spec, "'bytes' or a path")
    tokenizer = open_tokenizer(spec)
    train, validation = (load_tokens(recipe.data, split, tokenizer) for split in ("train", "val"))
    return Text(train, validation, context, tokenizer_record(tokenizer))


def _number(recipe: Recipe, key: str, default: Any, kind: type, low: int) -> Any:
    """A number of the task that is `low` or more; the default where it is left out."""
    value = recipe.task.get(key, default)
    fits = isinstance(value, (int, kind)) and not isinstance(value, bool) and low <= value < float("inf")
    if not fits and value is not default:
        raise _unfit(key, value, f"a {'whole ' if kind is int else ''}number of at least {low}")
    return value


def _unfit(key: str, value: Any, accepted: str) -> ConfigError:
    return ConfigError(
        f"The recipe key 'task.{key}' got {value!r}; it takes {accepted}. Change task.{key}=..."
    )


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
        if recipe.batch_size % (world * recipe.accumulate):
            raise ConfigError(
                f"batch_size={recipe.batch_size} on {world} processes x accumulate={recipe.accumulate} comes out "
                f"unevenly; a multiple is accepted. Set batch_size={world * recipe.accumulate} or a multiple."
            )
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
