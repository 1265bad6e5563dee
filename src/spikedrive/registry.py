"""A named table of things that a new file can extend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from typing import Generic, TypeVar

from spikedrive.errors import ConfigError, unknown_name

Item = TypeVar("Item")


class Registry(Generic[Item]):
    """Names to things of one `kind`; unknown names raise with the three nearest.

    >>> colours = Registry("colour")
    >>> _ = colours.add("red", 1)
    >>> colours["red"], colours.names()
    (1, ['red'])
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, Item] = {}

    def add(self, name: str, item: Item) -> Item:
        """Register `item` under `name`, which must be new."""
        if name in self._items and self._items[name] is not item:
            raise ConfigError(
                f"A {self.kind} named {name!r} is registered already; names are unique. Choose another."
            )
        self._items[name] = item
        return item

    def register(self, name: str) -> Callable[[Item], Item]:
        """Decorator form of `add`."""
        return lambda item: self.add(name, item)

    def names(self, pattern: str = "*") -> list[str]:
        """The sorted names that match a shell pattern."""
        return sorted(n for n in self._items if fnmatch(n, pattern))

    def __getitem__(self, name: str) -> Item:
        if name not in self._items:
            raise unknown_name(self.kind, name, self._items)
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self._items)
