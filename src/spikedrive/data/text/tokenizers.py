"""Text to token ids and back: bytes, or a tokenizer of Hugging Face."""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from spikedrive.data.text.streaming import TextStream
from spikedrive.errors import CheckpointError, DataError, MissingExtraError

ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[SEP]")
"""Tokens that end a text, in the order in which they are looked for."""
STARTS, PADS = ("[CLS]", "<s>"), ("[PAD]", "<pad>")
"""Tokens that start a text which is classified, and that fill up short ones."""


class Tokenizer(Protocol):
    """What turns text into ids below `vocabulary` and back; `spec` opens it again, `fingerprint` says which it is."""

    spec: str
    fingerprint: str
    vocabulary: int
    end: int | None
    """The id that stands behind a text; None where no token means that."""
    start: int | None
    """The id in front of a text that is classified; None where no token means that."""
    padding: int | None
    """The id that fills up short texts of a batch; None where no token means that."""
    content: str
    """Its whole `tokenizer.json`; empty where it needs none."""

    def encode(self, text: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The ids (L,) of a text. Raises: DataError for a text that is no UTF-8."""
        ...

    def decode(self, ids: Any) -> str:
        """The text of ids (L,); bytes that are no UTF-8 become the replacement character."""
        ...

    def stream(self) -> TextStream:
        """What gives the text of one id after another."""
        ...


class ByteTokenizer:
    """One id a byte of UTF-8; byte 0 stands between texts.

    >>> ByteTokenizer().encode("né").tolist(), ByteTokenizer().decode([110, 195, 169])
    ([110, 195, 169], 'né')
    """

    spec = fingerprint = "bytes"
    vocabulary: int = 256
    end: int | None = 0
    start: int | None = None
    padding: int | None = 0
    content = ""

    def encode(self, text: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The bytes (L,) of a text. Raises: DataError for one that is no UTF-8."""
        return np.frombuffer(_encoded(text), np.uint8).astype(np.int64)

    def decode(self, ids: Any) -> str:
        """The text of bytes (L,)."""
        return bytes(int(i) for i in ids).decode(errors="replace")

    def stream(self) -> TextStream:
        """Gives a character with its last byte."""
        return TextStream(self.decode)


class HuggingFaceTokenizer:
    """A `tokenizer.json` of Hugging Face: from the file, the folder that holds it, or its `content`.

    *Raises*: DataError for a path without one; MissingExtraError without the package `tokenizers`.
    """

    def __init__(self, path: str | os.PathLike[str], *, content: str | None = None) -> None:
        if content is None:
            path, content = _read(Path(path).expanduser())
        try:
            self._tokenizer = importlib.import_module("tokenizers").Tokenizer.from_str(content)
        except ModuleNotFoundError:
            raise MissingExtraError(
                "A tokenizer of Hugging Face needs the package tokenizers, which is not installed; bytes need nothing. "
                "Run pip install tokenizers."
            ) from None
        except Exception as error:
            raise DataError(
                f"{path} is no tokenizer ({error}); what tokenizers.Tokenizer.save writes is accepted. Save it again."
            ) from error
        self.spec, self.content = str(path), content
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()
        self.vocabulary = int(self._tokenizer.get_vocab_size())
        # a file may ask for texts of one length, which would be cut and filled up in silence
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.end: int | None = self._first_of(ENDS)
        self.start: int | None = self._first_of(STARTS)
        self.padding: int | None = self._first_of(PADS)

    def _first_of(self, tokens: tuple[str, ...]) -> int | None:
        known = (self._tokenizer.token_to_id(token) for token in tokens)
        return next((i for i in known if i is not None), None)

    def encode(self, text: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The ids (L,) of a text, without special tokens. Raises: DataError for one that is no UTF-8."""
        _encoded(text)
        return np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, np.int64)

    def decode(self, ids: Any) -> str:
        """The text of ids (L,)."""
        return self._tokenizer.decode([int(i) for i in ids])

    def stream(self) -> TextStream:
        """Gives the text once it no longer ends inside of a character."""
        return TextStream(self.decode)


def open_tokenizer(spec: str | os.PathLike[str]) -> Tokenizer:
    """The tokenizer `bytes`, or that of a path.

    *Raises*: as `HuggingFaceTokenizer`.
    """
    return ByteTokenizer() if spec == "bytes" else HuggingFaceTokenizer(spec)


def tokenizer_record(tokenizer: Tokenizer) -> dict[str, str]:
    """What a checkpoint keeps of a tokenizer: its fingerprint and its content, and no place on this machine.

    >>> tokenizer_record(ByteTokenizer())
    {'tokenizer': 'bytes', 'fingerprint': 'bytes'}
    """
    if not tokenizer.content:
        return {"tokenizer": tokenizer.spec, "fingerprint": tokenizer.fingerprint}
    return {
        "tokenizer": Path(tokenizer.spec).name,
        "fingerprint": tokenizer.fingerprint,
        "tokenizer_json": tokenizer.content,
    }


def recorded_tokenizer(record: Mapping[str, Any], spec: str | os.PathLike[str] | None = None) -> Tokenizer:
    """The tokenizer that a checkpoint's metadata tell of, or the one at `spec`, which must be the same.

    Metadata that tell of none stand for bytes.

    *Raises*: CheckpointError for another tokenizer than the model learned with, or one that is not where older
    metadata say; as `open_tokenizer`.
    """
    name = str(record.get("tokenizer", "bytes"))
    if spec is not None:
        tokenizer = open_tokenizer(spec)
    elif "tokenizer_json" in record:
        tokenizer = HuggingFaceTokenizer(name, content=str(record["tokenizer_json"]))
    elif name == "bytes" or Path(name).exists():
        tokenizer = open_tokenizer(name)
    else:
        raise CheckpointError(
            f"The model learned with the tokenizer {name}, which is not there, and its checkpoint holds no copy; the "
            "same tokenizer.json is accepted from anywhere. Name its place with --tokenizer."
        )
    check_fingerprint(record, tokenizer)
    return tokenizer


class Marked(Protocol):
    """A tokenizer, or what one made."""

    @property
    def fingerprint(self) -> str:
        """Which tokenizer it is."""
        ...


def check_fingerprint(record: Mapping[str, Any], came: Marked) -> None:
    """Raise CheckpointError where a checkpoint's metadata tell of another tokenizer."""
    if record.get("fingerprint", came.fingerprint) != came.fingerprint:
        raise CheckpointError(
            f"The model learned with the tokenizer {record.get('tokenizer')} ({_short(record['fingerprint'])}), and "
            f"another one came ({_short(came.fingerprint)}); ids of one mean nothing to the other. Give the tokenizer "
            "that it learned with, or none where the checkpoint holds it."
        )


def _short(fingerprint: str) -> str:
    return fingerprint[:12]


def _read(path: Path) -> tuple[Path, str]:
    """The file behind a path, and what it holds."""
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        return file.resolve(), file.read_bytes().decode()
    except FileNotFoundError:
        raise DataError(
            f"{path} holds no tokenizer.json; a folder with one, the file itself, or 'bytes' is accepted. Check "
            "the path."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file} cannot be read as a tokenizer ({error}); a tokenizer.json in UTF-8 is accepted. Check the path."
        ) from error


def _encoded(text: str) -> bytes:
    """The text in UTF-8."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"A tokenizer got a text that is no UTF-8 at character {error.start} ({text[error.start]!a}); text "
            "of whole characters is accepted. Write it in UTF-8."
        ) from None
