"""What a task of token models takes: its keys, their numbers, and batches that come out evenly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spikedrive.errors import ConfigError
from spikedrive.models import get_card
from spikedrive.training.recipe import Recipe


def check_keys(recipe: Recipe, keys: Sequence[str]) -> None:
    """Raise ConfigError for a model of images, a key of the task beside these, or a field that it does not look at."""
    name = recipe.task.get("name")
    if get_card(recipe.model).input != "tokens":
        raise ConfigError(
            f"The task {name!r} got {recipe.model}, which takes images; it trains models of tokens. Choose one of "
            "`spikedrive models` whose input is tokens."
        )
    strange = [key for key in recipe.task if key not in ("name", *keys)]
    given = [
        key for key in ("teacher", "mix", "augment", "label_smoothing", "image_size") if getattr(recipe, key)
    ]
    if strange or given:
        raise ConfigError(
            f"The task {name!r} got {', '.join([*(f'task.{key}' for key in strange), *given])}; it takes "
            f"{', '.join(f'task.{key}' for key in keys)}. Leave the others out."
        )


def task_number(recipe: Recipe, key: str, default: Any, kind: type, low: int) -> Any:
    """A number of the task that is `low` or more; the default where it is left out."""
    value = recipe.task.get(key, default)
    fits = isinstance(value, (int, kind)) and not isinstance(value, bool) and low <= value < float("inf")
    if not fits and value is not default:
        raise unfit(key, value, f"a {'whole ' if kind is int else ''}number of at least {low}")
    return value


def unfit(key: str, value: Any, accepted: str) -> ConfigError:
    """The error for a value of the task that it does not take."""
    return ConfigError(
        f"The recipe key 'task.{key}' got {value!r}; it takes {accepted}. Change task.{key}=..."
    )


def check_even(recipe: Recipe, world: int) -> None:
    """Raise ConfigError where processes and parts of them do not divide the batch."""
    if recipe.batch_size % (world * recipe.accumulate):
        raise ConfigError(
            f"batch_size={recipe.batch_size} on {world} processes x accumulate={recipe.accumulate} comes out "
            f"unevenly; a multiple is accepted. Set batch_size={world * recipe.accumulate} or a multiple."
        )
