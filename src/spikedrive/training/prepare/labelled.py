"""From a recipe to labelled texts, a classifier and the batches of an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from spikedrive.blocks import SpikingModel
from spikedrive.data import generator
from spikedrive.data.text import (
    EncodedTexts,
    check_fingerprint,
    encode_labelled,
    load_labelled,
    open_tokenizer,
    tokenizer_record,
)
from spikedrive.data.text.tokenizers import Tokenizer
from spikedrive.errors import ConfigError, DataError
from spikedrive.models import create_model, get_card, load_model, load_weights
from spikedrive.models.language.spikelm import SpikeLM, load_bert
from spikedrive.neurons import ElasticBiSpike, calibrate_amplitudes
from spikedrive.training.prepare.part import MODEL, ORDER, WEIGHTS, Part, seed_of
from spikedrive.training.recipe import Recipe

NAME = "text_classification"
_KEYS = ("name", "context", "tokenizer", "encoder", "texts")
_REFUSED = ("teacher", "mix", "augment", "image_size")


@dataclass(frozen=True, eq=False)
class Labelled:
    """The texts to learn from and to choose a checkpoint by."""

    train: EncodedTexts
    validation: EncodedTexts
    context: int
    tokenizer: Tokenizer

    @property
    def facts(self) -> dict[str, Any]:
        """What a resumed run must find again."""
        return {
            "train": len(self.train),
            "validation": len(self.validation),
            "class_names": list(self.train.class_names),
            "tokenizer": self.tokenizer.fingerprint,
            "context": self.context,
        }

    @property
    def metadata(self) -> dict[str, Any]:
        """What a checkpoint says about them."""
        record: Mapping[str, str] = tokenizer_record(self.tokenizer)
        return {**record, "context": self.context, "class_names": list(self.train.class_names)}

    @property
    def counts(self) -> dict[str, int]:
        """How many there are."""
        return {"train_texts": len(self.train), "val_texts": len(self.validation)}


def prepare_labelled(recipe: Recipe) -> Labelled:
    """The recipe's training and validation texts; no test text is opened.

    The tokenizer is task.tokenizer, or that of the folder task.encoder, or bytes. With task.texts, training and
    validation take the first so many texts of a fixed order alone.

    *Raises*: ConfigError for a model of something else, or an unknown key; DataError for the texts.
    """
    card = get_card(recipe.model)
    if card.task != NAME:
        raise ConfigError(
            f"The task {NAME!r} got {recipe.model}, whose task is {card.task}; it trains classifiers of texts. Choose "
            "one of `spikedrive models` whose task is text_classification."
        )
    strange = [f"task.{key}" for key in recipe.task if key not in _KEYS]
    strange += [key for key in _REFUSED if getattr(recipe, key)]
    if strange:
        raise ConfigError(
            f"The task {NAME!r} got {', '.join(strange)}; it takes {', '.join(f'task.{k}' for k in _KEYS[1:])}. Leave "
            "the others out."
        )
    context, most = recipe.task.get("context", 128), recipe.task.get("texts")
    for key, value, low in (("context", context, 3), ("texts", most, 1)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < low):
            raise ConfigError(
                f"The recipe key 'task.{key}' got {value!r}; it takes a whole number of at least {low}. Change "
                f"task.{key}=..."
            )
    tokenizer = open_tokenizer(recipe.task.get("tokenizer") or recipe.task.get("encoder") or "bytes")
    train, validation = (
        encode_labelled(load_labelled(recipe.data, split), tokenizer, context) for split in ("train", "val")
    )
    if most is not None:
        train, validation = _first(train, most), _first(validation, most)
    if len(train) < recipe.batch_size:
        raise DataError(
            f"{recipe.data} gives {len(train)} training texts; a step takes batch_size={recipe.batch_size}. Add texts, "
            f"or set batch_size={len(train)} or less."
        )
    return Labelled(train, validation, context, tokenizer)


def _first(texts: EncodedTexts, most: int) -> EncodedTexts:
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(0))[:most].tolist()
    chosen = tuple(texts.ids[i] for i in order)
    return EncodedTexts(chosen, texts.labels[order], texts.class_names, texts.padding)


def prepare_text_classifier(recipe: Recipe, data: Labelled) -> tuple[SpikingModel, list[str]]:
    """The model with its first weights, and what the user should know about it.

    The weights are those of task.encoder, a BERT's folder, or of a checkpoint in `weights`, or new. Amplitudes that
    none of them has are set on the first batch of texts.

    *Raises*: CheckpointError where weights do not fit; ConfigError for model_args.
    """
    classes = len(data.train.class_names)
    arguments = {"padding": data.train.padding, **recipe.model_args, "classes": classes}
    torch.manual_seed(seed_of(recipe, WEIGHTS))
    model = create_model(recipe.model, **{**arguments, "vocabulary": data.tokenizer.vocabulary})
    assert isinstance(model, SpikeLM)
    notes: list[str] = []
    encoder = recipe.task.get("encoder")
    if recipe.weights is not None:
        given = load_model(recipe.weights)
        check_fingerprint(given.metadata, data.tokenizer)
        fresh = tuple(given.metadata.get("class_names", ())) != data.train.class_names
        load_weights(model, recipe.weights, new_head=fresh)
        if fresh:
            notes.append(
                f"{recipe.weights} was trained for other classes; the head for these {classes} starts anew."
            )
        return model, notes
    if encoder is not None:
        done = load_bert(model, encoder)
        left = f"; not used: {', '.join(done.surplus)}" if done.surplus else ""
        weights = [key for key in done.missing if not key.endswith("amplitude")]
        notes.append(f"The weights are those of {encoder}, but for {', '.join(weights)}{left}.")
    if any(isinstance(part, ElasticBiSpike) for part in model.modules()):
        count = calibrate_amplitudes(model, data.train.batch(range(min(32, len(data.train))))[0])
        notes.append(f"The amplitudes of {count} neurons were set on the first texts.")
    return model, notes


class LabelledBatches:
    """The optimizer steps of an epoch as a pure function of (recipe, epoch, step)."""

    def __init__(
        self, recipe: Recipe, data: Labelled, *, device: torch.device, rank: int = 0, world: int = 1
    ) -> None:
        self._recipe, self._data, self._device, self._rank = recipe, data, device, rank
        parts = world * recipe.accumulate
        if recipe.batch_size % parts:
            raise ConfigError(
                f"batch_size={recipe.batch_size} on {world} processes x accumulate={recipe.accumulate} comes out "
                f"unevenly; a multiple is accepted. Set batch_size={parts} or a multiple."
            )
        self._part = recipe.batch_size // parts
        self.steps = len(data.train) // recipe.batch_size
        """Optimizer steps in an epoch; the last texts of its order wait for another one."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[list[Part]]:
        """This process's parts of every step from `start` on; epochs and steps count from 0."""
        recipe, size = self._recipe, self._part
        source = generator(recipe.seed, ORDER, epoch)
        order = torch.randperm(len(self._data.train), generator=source).tolist()
        for step in range(start, self.steps):
            parts = []
            for k in range(self._rank * recipe.accumulate, (self._rank + 1) * recipe.accumulate):
                first = step * recipe.batch_size + k * size
                ids, labels = self._data.train.batch(order[first : first + size])
                seed = seed_of(recipe, MODEL, epoch, step, k)
                parts.append(Part(ids.to(self._device), labels.to(self._device), seed, size))
            yield parts
