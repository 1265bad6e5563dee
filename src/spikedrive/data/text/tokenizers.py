"""Text to token ids and back: bytes, or a tokenizer of Hugging Face."""

from __future__ import annotations

import codecs
import hashlib
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from spikedrive.errors import DataError, MissingExtraError


class Tokenizer(Protocol):
    """What turns text into ids below `vocabulary` and back; `spec` opens it again, `fingerprint` says which it is."""

    spec: str
    fingerprint: str
    vocabulary: int
    end: int
    """The id that stands between two texts."""

    def encode(self, text: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The ids (L,) of a text."""
        ...

    def decode(self, ids: Any) -> str:
        """The text of ids (L,); bytes that are no UTF-8 become the replacement character."""
        ...

    def stream(self) -> Callable[[int], str]:
        """A function of one id after another that gives the text that has become certain."""
        ...


class ByteTokenizer:
    """One id a byte of UTF-8; byte 0 stands between texts.

    >>> ByteTokenizer().encode("né").tolist(), ByteTokenizer().decode([110, 195, 169])
    ([110, 195, 169], 'né')
    """

    spec = fingerprint = "bytes"
    vocabulary, end = 256, 0

    def encode(self, text: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The bytes (L,) of a text."""
        return np.frombuffer(text.encode(), np.uint8).astype(np.int64)

    def decode(self, ids: Any) -> str:
        """The text of bytes (L,)."""
        return bytes(int(i) for i in ids).decode(errors="replace")

    def stream(self) -> Callable[[int], str]:
        """Gives a character with its last byte."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return lambda token: decoder.decode(bytes([token]))


class HuggingFaceTokenizer:
    """A `tokenizer.json` of Hugging Face, from the file or the folder that holds it.

    *Raises*: DataError for a path without one; MissingExtraError without the package `tokenizers`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        file = Path(path).expanduser()
        file = file / "tokenizer.json" if file.is_dir() else file
        if not file.is_file():
            raise DataError(
                f"{path} holds no tokenizer.json; a folder with one, the file itself, or 'bytes' is accepted. Check "
                "the path."
            )
        try:
            self._tokenizer = importlib.import_module("tokenizers").Tokenizer.from_file(str(file))
        except ModuleNotFoundError:
            raise MissingExtraError(
                "A tokenizer of Hugging Face needs the package tokenizers, which is not installed; bytes need nothing. "
                "Run pip install tokenizers."
            ) from None
        except Exception as error:
            raise DataError(
                f"{file} is no tokenizer ({error}); what tokenizers.Tokenizer.save writes is accepted. Save it again."
            ) from error
        self.spec = str(file.resolve())
        self.fingerprint = hashlib.sha256(file.read_bytes()).hexdigest()
        self.vocabulary = int(self._tokenizer.get_vocab_size())
        ends = (self._tokenizer.token_to_id(t) for t in ("<|endoftext|>", "</s>", "<eos>", "[SEP]"))
        self.end = next((i for i in ends if i is not None), 0)

    def encode(self, text: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The ids (L,) of a text, without special tokens."""
        return np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, np.int64)

    def decode(self, ids: Any) -> str:
        """The text of ids (L,)."""
        return self._tokenizer.decode([int(i) for i in ids])

    def stream(self) -> Callable[[int], str]:
        """Gives the text once it no longer ends inside of a character."""
        ids: list[int] = []
        shown = ""

        def more(token: int) -> str:
            nonlocal shown
            ids.append(token)
            text = self.decode(ids)
            if text.endswith("\ufffd") or not text.startswith(shown):
                return ""
            new, shown = text[len(shown) :], text
            return new

        return more


def open_tokenizer(spec: str | os.PathLike[str]) -> Tokenizer:
    """The tokenizer `bytes`, or that of a path.

    *Raises*: as `HuggingFaceTokenizer`.
    """
    return ByteTokenizer() if spec == "bytes" else HuggingFaceTokenizer(spec)
