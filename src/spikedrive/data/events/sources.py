"""One function for every place where labelled clips of events come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from spikedrive.data.events.clips import EventSet
from spikedrive.data.events.datasets import DATASETS
from spikedrive.data.events.folders import open_folder
from spikedrive.data.events.simulated.sets import SETS
from spikedrive.errors import DataError
from spikedrive.registry import Registry

Split = Callable[[], EventSet]
"""Opens one split."""
EVENT_SETS: Registry[Callable[[Path | None], Mapping[str, Split]]] = Registry("set of events")
"""From a name to what opens it, by the folder behind `name:folder`, None without one, the splits that it has."""
for _name in DATASETS:
    EVENT_SETS.add(_name, DATASETS[_name].splits)
for _name, _splits in SETS.items():
    EVENT_SETS.add(_name, _splits)


def load_events(source: str | os.PathLike[str], split: str = "train") -> EventSet:
    """The labelled clips of one split of `source`.

    `source` is a name of `EVENT_SETS`, `name:folder` for a published data set that lies in a folder, or a folder of
    recordings: one folder a class, under train/, val/ and test/ or directly.

    *Raises*: DataError for a source, split or file that cannot be read as such; UnknownNameError for a name.
    """
    splits = _open(source)
    if split not in splits:
        raise DataError(
            f"{os.fspath(source)} has no split {split!r}; it has {', '.join(splits)}. Ask for one of these, or divide "
            "one with EventSet.split."
        )
    return splits[split]()


def list_event_splits(source: str | os.PathLike[str]) -> tuple[str, ...]:
    """The splits that `load_events` can read from `source`."""
    return tuple(_open(source))


def _open(source: str | os.PathLike[str]) -> Mapping[str, Split]:
    text = os.fspath(source)
    name, colon, folder = text.partition(":")
    if isinstance(source, str) and name in EVENT_SETS:
        return EVENT_SETS[name](Path(folder).expanduser() if colon else None)
    path = Path(text).expanduser()
    if path.is_dir():
        return open_folder(path)
    if colon and not path.exists():
        EVENT_SETS[name]  # which raises with the nearest names
    what = "is no folder" if path.exists() else "does not exist"
    raise DataError(
        f"{text} {what}; accepted are the names {', '.join(EVENT_SETS) or '(none)'}, NAME:FOLDER for a published data "
        "set, and a folder of recordings with one folder a class. Check the path."
    )
