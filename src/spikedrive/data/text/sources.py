"""Where text comes from, and how it is divided."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from spikedrive.data.text.bundled import open_shakespeare
from spikedrive.errors import DataError
from spikedrive.registry import Registry

SPLITS = ("train", "val", "test")
TEXTS: Registry[Callable[[], Mapping[str, str]]] = Registry("text source")
TEXTS.add("shakespeare", open_shakespeare)


def read_texts(source: str | os.PathLike[str], split: str = "train") -> dict[str, str]:
    """The texts of one split by their names.

    `source` is a name (`shakespeare`, bundled: 37 plays), or a folder of .txt files in UTF-8, under train/, val/ and
    test/ or divided by `split_of`, which puts a text into one split only, however often it occurs.

    *Raises*: DataError for a source that is none, a file that is no UTF-8, or a split without text.

    >>> sorted(read_texts("shakespeare", "test"))
    ['henry_vi_part_1', 'merchant_of_venice']
    """
    if split not in SPLITS:
        raise DataError(
            f"read_texts got the split {split!r}; it takes {', '.join(SPLITS)}. Ask for one of these."
        )
    name = os.fspath(source)
    if isinstance(source, str) and name in TEXTS:
        texts, divided = TEXTS[name](), False
    else:
        texts, divided = _read_folder(Path(name).expanduser(), split)
    found = {key: text for key, text in texts.items() if divided or split_of(text) == split}
    if not any(found.values()):
        raise DataError(
            f"{name} has {len(texts)} texts, and none for {split}; each text goes into one split by its hash. Put the "
            f"files into the folders {', '.join(f'{s}/' for s in SPLITS)}, or divide long ones."
        )
    return found


def split_of(text: str) -> str:
    """The split of a text, by its SHA-256: of ten, one is for testing and one for validation.

    >>> split_of("To be, or not to be"), split_of("that is the question")
    ('test', 'train')
    """
    place = int(hashlib.sha256(text.encode()).hexdigest(), 16) % 10
    return {0: "test", 1: "val"}.get(place, "train")


def _read_folder(folder: Path, split: str) -> tuple[dict[str, str], bool]:
    """The texts below a folder, and whether it is divided into splits."""
    if not folder.is_dir():
        what, advice = ("does not exist", "Check the path.")
        if folder.exists():
            what, advice = ("is no folder", "Put the text into one, in parts under train/, val/ and test/.")
        raise DataError(
            f"{folder} {what}; accepted are the names {', '.join(TEXTS)} and a folder of .txt files. {advice}"
        )
    divided = any((folder / name).is_dir() for name in SPLITS)
    root = folder / split if divided else folder
    texts = {}
    for path in sorted(root.rglob("*.txt")):
        try:
            texts[str(path.relative_to(root))] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"{path} cannot be read as UTF-8 ({error}); text files in UTF-8 are accepted. Convert or remove it."
            ) from error
    if not texts:
        raise DataError(f"{root} holds no .txt file; text files in UTF-8 are accepted. Name another folder.")
    return texts, divided
