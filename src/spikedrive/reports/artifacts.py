"""The files of a run's folder that a report is made of, and the commands that make them."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikedrive.auditing.result import Audit
from spikedrive.errors import DataError, FormatError


@dataclass(frozen=True)
class Artifact:
    """One file of a run: its name, what it holds, and the command that writes it (`{run}` is the folder)."""

    name: str
    holds: str
    command: str


_TRAIN = "spikedrive train RECIPE --out {run}"
_EXAMINE = "spikedrive report {run} --data DATA"

ARTIFACTS = {
    artifact.name: artifact
    for artifact in (
        Artifact("recipe.json", "what was asked for, resolved", _TRAIN),
        Artifact("environment.json", "versions, machine, commit, seed, threads", _TRAIN),
        Artifact("log.jsonl", "loss, accuracy, firing rate and speed while training", _TRAIN),
        Artifact("metrics.json", "what the training came to", _TRAIN),
        Artifact("checkpoints/best.safetensors", "the weights, chosen on validation images", _TRAIN),
        Artifact(
            "audit_trained.json", "the audit of the model as trained", "spikedrive audit {run} --out {file}"
        ),
        Artifact(
            "audit.json", "the audit of the model as deployed", "spikedrive audit {run} --fused --out {file}"
        ),
        Artifact("program.sdx", "the integer program", "spikedrive compile {run} --out {file}"),
        Artifact("verify.json", "the program against its fp64 twin, image by image", _EXAMINE),
        Artifact("predictions.npz", "labels and answers on the test images", _EXAMINE),
        Artifact("activity.npz", "what every neuron receives and emits", _EXAMINE),
    )
}


def exists(run: Path, name: str) -> bool:
    """Whether the run has that artifact."""
    return (run / name).is_file()


def command(run: Path, name: str) -> str:
    """The command that writes an artifact of this run."""
    return ARTIFACTS[name].command.format(run=run, file=run / name)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON artifact.

    Raises: DataError when the file is missing, truncated or not an object.
    """
    try:
        found = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise _damaged(path, f"no JSON after line {error.lineno}", "one JSON object") from error
    if not isinstance(found, dict):
        raise _damaged(path, f"a {type(found).__name__}", "one JSON object")
    return found


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines artifact.

    A last line without its end is what a killed run leaves, and is left out; a broken line elsewhere raises.

    Raises: DataError when the file is missing, empty or damaged.
    """
    lines = _text(path).splitlines(keepends=True)
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number == len(lines) and not line.endswith("\n"):
                break
            raise _damaged(path, f"no JSON in line {number}", "one JSON object a line") from error
    if not found:
        raise _damaged(path, "no line", "one JSON object a line")
    return found


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz artifact.

    Raises: DataError when the file is missing, truncated or holds pickled objects.
    """
    if not path.is_file():
        raise _missing(path)
    try:
        # numpy leaves a file open that it could not read
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise _damaged(
            path, f"bytes that are no whole archive ({error})", "a .npz archive of plain arrays"
        ) from error


def read_audit(path: Path) -> Audit:
    """The audit in a file.

    Raises: DataError when the file is missing, damaged or of another version.
    """
    if not path.is_file():
        raise _missing(path)
    try:
        return Audit.load(path)
    except FormatError as error:
        raise DataError(f"{error} {remedy(path)}") from error


def need(path: Path, found: dict[str, Any], *keys: str) -> None:
    """Raise DataError unless `found`, read from `path`, has all the keys."""
    absent = [key for key in keys if key not in found]
    if absent:
        raise _damaged(path, f"no {absent[0]!r}", f"a file with {', '.join(keys)}")


def file_size(size: int) -> str:
    """A file's size for people.

    >>> file_size(512), file_size(20_480), file_size(5_000_000)
    ('512 B', '20.5 kB', '5.00 MB')
    """
    if size < 1000:
        return f"{size} B"
    return f"{size / 1e3:.3g} kB" if size < 999_500 else f"{size / 1e6:.2f} MB"


def remedy(path: Path) -> str:
    """The sentence that says how to write an artifact again."""
    for name in ARTIFACTS:
        if path.as_posix().endswith(name):
            return f"Write it again: {command(path.parents[name.count('/')], name)}"
    return "Write it again with the command that made it."


def _text(path: Path) -> str:
    if not path.is_file():
        raise _missing(path)
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise _damaged(path, "bytes that are no UTF-8", "text") from error


def _missing(path: Path) -> DataError:
    return DataError(f"There is no file {path}; it is needed here. {remedy(path)}")


def _damaged(path: Path, came: str, accepted: str) -> DataError:
    return DataError(f"{path} has {came}; {accepted} is accepted. {remedy(path)}")
