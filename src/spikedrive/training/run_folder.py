"""The folder of one run: what was asked for, where it ran, and what happened."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import torch

from spikedrive.blocks import SpikingModel
from spikedrive.errors import CheckpointError, ConfigError, StorageError
from spikedrive.files import atomic_write
from spikedrive.models import load_model
from spikedrive.training.recipe import TASKS, Recipe

PARTS = ("recipe.json", "environment.json", "log.jsonl", "metrics.json", "checkpoints", "tensorboard")
PACKAGES = ("spikedrive", "torch", "numpy", "lightning-fabric", "safetensors", "pydantic")
_SCALARS = ("loss", "accuracy", "val_loss", "val_accuracy", "firing_rate", "samples_per_s", "lr")

Record = dict[str, Any]
"""One line of the log."""


@dataclass(frozen=True)
class Run:
    """A finished training run: where it lies and what it came to."""

    folder: Path
    recipe: Recipe
    metrics: dict[str, Any]

    def load(self) -> SpikingModel:
        """The checkpoint that did best on the validation images, in eval mode."""
        return load_model(self.folder / "checkpoints" / "best.safetensors")

    def __str__(self) -> str:
        m = self.metrics
        judged = f"accuracy {m['val_accuracy']:.2%}" if "val_accuracy" in m else f"loss {m['val_loss']:.4f}"
        return (
            f"{self.recipe.model} on {self.recipe.data}: validation {judged} at epoch {m['best_epoch']} of "
            f"{m['epochs']}, {m['seconds']:.0f} s, in {self.folder}"
        )


@dataclass(frozen=True)
class Marks:
    """How far the append-only files reached when a checkpoint was written, in bytes."""

    log: int = 0
    events: int = 0


class RunFolder:
    """Paths and files of a run; `writes` is false on all processes but the first.

    *Raises*: StorageError wherever a file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], *, writes: bool = True) -> None:
        self.path = Path(path)
        self.writes = writes
        self._log: IO[bytes] | None = None
        self._events: IO[bytes] | None = None
        self._event: Callable[[Record], bytes] | None = None

    @property
    def state(self) -> Path:
        """Everything that a killed run goes on from."""
        return self.path / "checkpoints" / "state.pt"

    @property
    def best(self) -> Path:
        """The weights that did best on the validation images."""
        return self.path / "checkpoints" / "best.safetensors"

    @property
    def last(self) -> Path:
        """The weights after the last finished epoch."""
        return self.path / "checkpoints" / "last.safetensors"

    def read_metrics(self) -> dict[str, Any] | None:
        """What a finished run came to; None before its end."""
        path = self.path / "metrics.json"
        return read_json(path) if path.is_file() else None

    def check_recipe(self, recipe: Recipe) -> bool:
        """Whether a run of this very recipe was begun here.

        *Raises*: ConfigError where the folder holds a run of another recipe, naming what differs.
        """
        path = self.path / "recipe.json"
        if not path.is_file():
            self._check_free()
            return False
        # what older versions wrote: one task, and a choice that is gone
        theirs = {"task": {"name": TASKS[0]}, **read_json(path)}
        if theirs.get("channels_last") is True:
            del theirs["channels_last"]
        mine = recipe.to_dict()
        # a tuple in optimizer_args comes back as a list
        mine = json.loads(json.dumps(mine))
        differing = [
            f"{key} is {theirs.get(key)!r} there and {mine.get(key)!r} here"
            for key in sorted({*mine, *theirs})
            if mine.get(key) != theirs.get(key)
        ]
        if differing:
            raise ConfigError(
                f"{self.path} holds a run of another recipe ({'; '.join(differing)}); a run is resumed with its own "
                "recipe. Choose another folder, or start this one over with resume=False."
            )
        return True

    def clear(self) -> None:
        """Delete what a run wrote here, and nothing else.

        *Raises*: ConfigError where files with these names lie here and are no run's.
        """
        if not (self.path / "recipe.json").is_file():
            self._check_free()
            return
        try:
            for part in PARTS if self.writes else ():
                path = self.path / part
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise _storage_error(self.path, error) from error

    def begin(self, recipe: Recipe, environment: dict[str, Any], marks: Marks) -> None:
        """Write recipe and environment, and open the logs where a checkpoint left them."""
        if not self.writes:
            return
        for left_over in self.path.glob("checkpoints/.*.tmp"):
            left_over.unlink(missing_ok=True)
        self.write_json("recipe.json", recipe.to_dict())
        self.write_json("environment.json", environment)
        self._log = self._open("log.jsonl", marks.log)
        # TensorBoard's own writer fails in a thread of its own when the disk is full, where nobody hears it
        self._events = self._open("tensorboard/events.out.tfevents.0000000000.spikedrive", marks.events)
        self._event = _event_encoder()
        if marks.events == 0:
            self._append(self._events, self._event({"version": "brain.Event:2"}))

    def record(self, line: Record) -> None:
        """Append one line to the log, and its figures to TensorBoard."""
        if self._log is None or self._events is None or self._event is None:
            return
        self._append(self._log, (json.dumps(line) + "\n").encode())
        if any(line.get(key) is not None for key in _SCALARS):
            self._append(self._events, self._event(line))

    def flush(self) -> Marks:
        """Bring the logs to disk; how far they reach now."""
        try:
            for file in (self._log, self._events):
                if file is not None:
                    file.flush()
        except OSError as error:
            raise _storage_error(self.path, error) from error
        return Marks(self._log.tell() if self._log else 0, self._events.tell() if self._events else 0)

    def close(self) -> None:
        """Close the logs; what could not be written by now was reported already."""
        for file in (self._log, self._events):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
        self._log = self._events = None

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        """Write one JSON file, whole or not at all."""
        if self.writes:
            with atomic_write(self.path / name) as temporary:
                temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")

    def _check_free(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(
                f"{self.path} is a file; a run takes a folder, new or its own. Choose another name."
            )
        taken = [part for part in PARTS if (self.path / part).exists()]
        if taken:
            raise ConfigError(
                f"{self.path} holds {', '.join(taken)} without a recipe.json, so they are no run's; a run takes a new "
                "folder or its own. Choose another folder."
            )

    def _open(self, name: str, length: int) -> IO[bytes]:
        path = self.path / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "r+b" if path.exists() else "w+b")  # noqa: SIM115 - lives as long as the run
            # what a killed run wrote after its last checkpoint happens again
            file.truncate(length)
            file.seek(length)
        except OSError as error:
            raise _storage_error(path, error) from error
        return file

    def _append(self, file: IO[bytes], data: bytes) -> None:
        try:
            file.write(data)
        except OSError as error:
            raise _storage_error(self.path, error) from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a run.

    *Raises*: CheckpointError where it is damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}); it holds one JSON object that train wrote. "
            "Restore it, or start over with resume=False."
        ) from error
    if not isinstance(values, dict):
        raise CheckpointError(
            f"{path} holds no JSON object; train writes one there. Start over with resume=False."
        )
    return values


def describe_environment(recipe: Recipe, *, device: str, processes: int) -> dict[str, Any]:
    """Versions, machine, commit, seed and threads."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "machine": {
            "host": socket.gethostname(),
            "platform": platform.platform(),
            "cpu": _cpu_name(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        },
        "device": device,
        "processes": processes,
        "threads": torch.get_num_threads(),
        "seed": recipe.seed,
        "commit": _commit(),
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _event_encoder() -> Callable[[Record], bytes]:
    # the import takes most of a second, so only a process that writes pays it
    from io import BytesIO

    from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.summary.writer.record_writer import RecordWriter

    def encode(line: Record) -> bytes:
        if "version" in line:
            event = Event(wall_time=time.time(), file_version=line["version"])
        else:
            values = [
                Summary.Value(tag=f"{line['kind']}/{key}", simple_value=float(line[key]))
                for key in _SCALARS
                if line.get(key) is not None
            ]
            event = Event(wall_time=time.time(), step=line["step"], summary=Summary(value=values))
        buffer = BytesIO()
        RecordWriter(buffer).write(event.SerializeToString())
        return buffer.getvalue()

    return encode


def _storage_error(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"Could not write the logs in {path} ({error.strerror or error}); the checkpoints there are untouched. "
        "Free space, then run the same command again."
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _cpu_name() -> str:
    try:
        listing = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in listing.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str | None:
    """The commit of the source tree that runs, with "+" where files differ from it; None for an installed copy."""
    here = Path(__file__).resolve().parents[3]
    if not (here / ".git").exists():
        return None
    try:
        commit = _git(here, "rev-parse", "HEAD")
        return commit + ("+" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
