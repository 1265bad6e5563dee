"""One function for every place where labelled clips of two cameras come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from spikedrive.data.events.datasets.hardvs import HARDVS2, LAYOUT_2
from spikedrive.data.events.paired.clips import PairedSet
from spikedrive.data.events.simulated.actions import paired_actions
from spikedrive.errors import DataError
from spikedrive.registry import Registry

Split = Callable[[], PairedSet]
"""Opens one split."""


def _actions(_folder: Path | None) -> Mapping[str, Split]:
    return {split: partial(paired_actions, split) for split in ("train", "test")}


def _hardvs2(folder: Path | None) -> Mapping[str, Split]:
    if folder is None:
        raise LAYOUT_2.missing(f"{LAYOUT_2.title} was asked for without a folder, as in NAME:FOLDER")
    return {split: partial(HARDVS2, folder, split) for split in LAYOUT_2.splits}


PAIRED_SETS: Registry[Callable[[Path | None], Mapping[str, Split]]] = Registry("set of two cameras")
"""From a name to what opens it, by the folder behind `name:folder`, None without one, the splits that it has."""
PAIRED_SETS.add("paired_actions", _actions)
PAIRED_SETS.add("hardvs2", _hardvs2)


def is_paired(source: str | os.PathLike[str]) -> bool:
    """Whether `source` names clips of two cameras."""
    return os.fspath(source).partition(":")[0] in PAIRED_SETS


def load_paired(source: str | os.PathLike[str], split: str = "train") -> PairedSet:
    """The labelled clips of one split of `source`: a name of `PAIRED_SETS`, or `name:folder`.

    *Raises*: DataError for a split or folder that cannot be read; UnknownNameError for a name.
    """
    splits = _open(source)
    if split not in splits:
        raise DataError(
            f"{os.fspath(source)} has no split {split!r}; it has {', '.join(splits)}. Ask for one of these, or divide "
            "one with PairedSet.split."
        )
    return splits[split]()


def list_paired_splits(source: str | os.PathLike[str]) -> tuple[str, ...]:
    """The splits that `load_paired` can read from `source`."""
    return tuple(_open(source))


def _open(source: str | os.PathLike[str]) -> Mapping[str, Split]:
    name, colon, folder = os.fspath(source).partition(":")
    return PAIRED_SETS[name](Path(folder).expanduser() if colon else None)
