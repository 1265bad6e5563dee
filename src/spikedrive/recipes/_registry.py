"""The registry of recipes: what `spikedrive train NAME` and the contract tests run over."""

from __future__ import annotations

from collections.abc import Callable

from spikedrive.registry import Registry
from spikedrive.training import Recipe

RECIPES: Registry[Callable[[], Recipe]] = Registry("recipe")


def register_recipe(make: Callable[[], Recipe]) -> Callable[[], Recipe]:
    """Decorator: register a function without arguments under its own name."""
    return RECIPES.add(make.__name__, make)


def list_recipes(pattern: str = "*") -> list[str]:
    """The registered recipes whose names match a shell pattern."""
    return RECIPES.names(pattern)


def get_recipe(name: str) -> Recipe:
    """The recipe of that name; an unknown name raises with the nearest three."""
    return RECIPES[name]()
