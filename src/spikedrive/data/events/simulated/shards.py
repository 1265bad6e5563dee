"""Clips that were made once, kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spikedrive.data.events.clips import EventSet, PackedClips
from spikedrive.data.events.events import Events
from spikedrive.errors import StorageError

VERSION = 2
"""Counts up whenever the same settings would give other events."""


class ShardedClips:
    """Packed clips one after another."""

    def __init__(self, shards: list[PackedClips]) -> None:
        self._shards = shards
        self._ends = np.cumsum([len(shard) for shard in shards]).tolist()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int, /) -> Events:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        shard = bisect_right(self._ends, index)
        return self._shards[shard][index - (self._ends[shard - 1] if shard else 0)]


Shard = tuple[PackedClips, list[int]]
"""Clips and the label of each."""


def cached(
    name: str, settings: Mapping[str, Any], class_names: tuple[str, ...], make: Callable[[], Iterable[Shard]]
) -> EventSet:
    """The clips that `make` gives, from the cache where they were made with the same settings before.

    They lie in SPIKEDRIVE_CACHE, or `spikedrive` in XDG_CACHE_HOME, or ~/.cache/spikedrive, in a folder that is there
    once it is whole. A shard whose hash is another than when it was written is made again.

    *Raises*: StorageError where the cache cannot be written.
    """
    text = json.dumps({"version": VERSION, "name": name, **settings}, sort_keys=True)
    folder = cache() / "events" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if not _is_whole(folder):
        try:
            _write(folder, make())
        except OSError as error:
            raise StorageError(
                f"Could not keep {name} in {folder} ({error.strerror or error}); a folder with free space is taken. "
                "Set SPIKEDRIVE_CACHE to another one."
            ) from error
    index = json.loads((folder / "index.json").read_text())
    shards, labels = [], []
    for entry in index["shards"]:
        events = np.load(folder / entry["file"], mmap_mode="r")
        shards.append(PackedClips(events, np.array(entry["starts"]), index["width"], index["height"]))
        labels += entry["labels"]
    clips = ShardedClips(shards)
    return EventSet(clips, torch.tensor(labels), class_names, index["width"], index["height"])


def cache() -> Path:
    """The folder of everything that spikedrive keeps for later."""
    shared = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SPIKEDRIVE_CACHE") or Path(shared) / "spikedrive")


def _write(folder: Path, shards: Iterable[Shard]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        entries, size = [], (1, 1)
        for k, (clips, labels) in enumerate(shards):
            file, size = f"{k:04}.npy", (clips.width, clips.height)
            np.save(beside / file, clips.array)
            digest = hashlib.sha256((beside / file).read_bytes()).hexdigest()
            entries.append(
                {"file": file, "sha256": digest, "starts": clips.starts.tolist(), "labels": list(labels)}
            )
        (beside / "index.json").write_text(
            json.dumps({"width": size[0], "height": size[1], "shards": entries})
        )
        # what is there was found damaged
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _is_whole(folder: Path) -> bool:
    try:
        index = json.loads((folder / "index.json").read_text())
        return all(
            hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
            for entry in index["shards"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False
