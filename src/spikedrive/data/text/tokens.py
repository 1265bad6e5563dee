"""Tokens in a row: made from texts, or mapped from a file that holds them packed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikedrive.data.text.sources import read_texts
from spikedrive.data.text.tokenizers import ENDS, Tokenizer
from spikedrive.errors import DataError
from spikedrive.files import atomic_write

FORMAT = "spikedrive-tokens-1"
_HEADER = 4096
"""Bytes before the tokens: JSON, then blanks."""


@dataclass(frozen=True, eq=False)
class TokenSet:
    """Tokens of texts one after another, with what they were made by.

    *Shapes*: tokens (N,), unsigned, in memory or mapped from a file.
    *Units*: `text_bytes` counts the UTF-8 bytes that the tokens stand for.
    """

    tokens: np.ndarray[Any, Any]
    text_bytes: int
    texts: int
    tokenizer: str
    fingerprint: str
    vocabulary: int

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def bytes_per_token(self) -> float:
        """UTF-8 bytes that a token stands for, on average; that the token behind a text stands for none is in it."""
        return self.text_bytes / max(1, len(self.tokens))


def load_tokens(source: str | os.PathLike[str], split: str, tokenizer: Tokenizer) -> TokenSet:
    """The tokens of one split of `source`, an `end` behind each text.

    `source` is what `read_texts` takes, or a folder of `pack_tokens`, whose file is mapped.

    *Raises*: DataError for a source without such texts, or packed with another tokenizer; for a tokenizer without a
    token that ends a text.
    """
    packed = Path(os.fspath(source)).expanduser() / f"{split}.tokens"
    if packed.is_file():
        found = open_tokens(packed)
        if found.fingerprint != tokenizer.fingerprint:
            raise DataError(
                f"{packed} was packed with the tokenizer {found.tokenizer}, and {tokenizer.spec} came; one tokenizer "
                "makes and reads tokens. Pack the text again, or name that tokenizer."
            )
        return found
    if tokenizer.end is None:
        raise DataError(
            f"{tokenizer.spec} has no token that ends a text; one of {', '.join(ENDS)} is accepted, which stands "
            "between texts. Add one to the tokenizer and save it again."
        )
    texts = read_texts(source, split)
    kind = np.min_scalar_type(tokenizer.vocabulary - 1)
    end = np.array([tokenizer.end])
    parts = [part for text in texts.values() for part in (tokenizer.encode(text), end)]
    size = sum(len(text.encode()) for text in texts.values())
    return TokenSet(
        np.concatenate(parts).astype(kind), size, len(texts), tokenizer.spec, tokenizer.fingerprint,
        tokenizer.vocabulary,
    )  # fmt: skip


def pack_tokens(
    source: str | os.PathLike[str], folder: str | os.PathLike[str], tokenizer: Tokenizer, split: str = "train"
) -> Path:
    """Write one split of `source` as `folder/{split}.tokens`, whole or not at all.

    *Raises*: as `load_tokens`; StorageError where it cannot be written.
    """
    made, path = load_tokens(source, split, tokenizer), Path(folder) / f"{split}.tokens"
    header = {
        "format": FORMAT, "dtype": made.tokens.dtype.name, "count": len(made), "text_bytes": made.text_bytes,
        "texts": made.texts, "tokenizer": made.tokenizer, "fingerprint": made.fingerprint,
        "vocabulary": made.vocabulary,
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        file.write(json.dumps(header).encode().ljust(_HEADER))
        file.write(np.ascontiguousarray(made.tokens).data)
    return path


def open_tokens(path: str | os.PathLike[str]) -> TokenSet:
    """A file of `pack_tokens`, mapped into memory.

    *Raises*: DataError for a file that is missing, cut off or of another kind.
    """
    try:
        with open(path, "rb") as file:
            header = json.loads(file.read(_HEADER))
        if header.pop("format") != FORMAT:
            raise ValueError("another format")
        kind, count = np.dtype(header.pop("dtype")), header.pop("count")
        if os.path.getsize(path) != _HEADER + count * kind.itemsize:
            raise ValueError("it is cut off")
        tokens = np.memmap(path, kind, "r", _HEADER, (count,))
        return TokenSet(tokens, **header)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path} is no file of tokens ({error}); what pack_tokens writes is accepted. Pack the text again."
        ) from error
