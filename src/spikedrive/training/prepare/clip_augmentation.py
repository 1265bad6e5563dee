"""The augmentation of event clips that a recipe asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from spikedrive.data.events import Events, augment
from spikedrive.errors import ConfigError, unknown_name
from spikedrive.training.recipe import Recipe
from spikedrive.training.relevance import EventRPG

ClipMix = Callable[[Sequence[Events], Tensor, torch.Generator], tuple[list[Events], Tensor]]

MOVES: dict[str, Callable[..., augment.EventTransform]] = {
    "DropArea": augment.DropArea,
    "DropEvents": augment.DropEvents,
    "DropTime": augment.DropTime,
    "EventDrop": augment.event_drop,
    "FlipPolarity": augment.FlipPolarity,
    "RandomCrop": augment.RandomCrop,
    "RandomFlip": augment.RandomFlip,
    "RandomRotate": augment.RandomRotate,
    "RandomScale": augment.RandomScale,
    "RandomShear": augment.RandomShear,
    "RandomShift": augment.RandomShift,
    "SpatialJitter": augment.SpatialJitter,
    "TimeJitter": augment.TimeJitter,
}
"""What `augment` may name; each clip draws on its own."""
MIXES: dict[str, Callable[..., ClipMix]] = {"MixArea": augment.MixArea, "MixTime": augment.MixTime}
"""What `mix` may name beside EventRPG; of both each part of a batch draws one."""


def clip_moves(recipe: Recipe) -> augment.Compose:
    """What happens to each clip, in the recipe's order.

    *Raises*: UnknownNameError for a transform of another name; ConfigError for its arguments.
    """
    return augment.Compose([_made(MOVES, name, given, "augment") for name, given in recipe.augment.items()])


def clip_mixes(recipe: Recipe) -> list[ClipMix]:
    """What mixes clips before they are binned.

    *Raises*: as `clip_moves`.
    """
    known = {**MIXES, "EventRPG": EventRPG}
    made = {name: _made(known, name, given, "mix") for name, given in recipe.mix.items()}
    return [mix for name, mix in made.items() if name != "EventRPG"]


def guided_mix(recipe: Recipe) -> EventRPG | None:
    """EventRPG, where the recipe's `mix` names it: it takes frames, and the model that learns."""
    given = recipe.mix.get("EventRPG")
    return None if given is None else _made({"EventRPG": EventRPG}, "EventRPG", given, "mix")


def _made(known: dict[str, Callable[..., Any]], name: str, arguments: dict[str, Any], key: str) -> Any:
    if name not in known:
        raise unknown_name("transform of events", name, known)
    try:
        return known[name](**arguments)
    except TypeError as error:
        raise ConfigError(
            f"{key}.{name} got {arguments}, which it does not take ({error}). Correct {key}.{name}."
        ) from error
