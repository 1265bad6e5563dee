"""A tokenizer of Hugging Face with one token a word, and a stand-in for the package that reads it where it is not."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

WORDS = ("[UNK]", "<|endoftext|>", "to", "be")


def write(folder: Path, words: Sequence[str] = WORDS) -> Path:
    """The file `tokenizer.json`, whose ids are the places in `words`."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "tokenizer.json"
    file.write_text(
        json.dumps(
            {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
             "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
             "model": {"type": "WordLevel", "vocab": {w: i for i, w in enumerate(words)}, "unk_token": "[UNK]"}}
        )
    )  # fmt: skip
    return file


def provide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the stand-in where the package is missing."""
    if importlib.util.find_spec("tokenizers") is None:
        module = ModuleType("tokenizers")
        module.Tokenizer = _Tokenizer  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "tokenizers", module)


class _Tokenizer:
    """What of `tokenizers.Tokenizer` is used, for word-level models alone."""

    def __init__(self, content: str) -> None:
        self._ids: dict[str, int] = json.loads(content)["model"]["vocab"]
        self._words = {i: word for word, i in self._ids.items()}

    @classmethod
    def from_str(cls, content: str) -> _Tokenizer:
        return cls(content)

    def get_vocab_size(self) -> int:
        return len(self._ids)

    def token_to_id(self, token: str) -> int | None:
        return self._ids.get(token)

    def encode(self, text: str, *, add_special_tokens: bool) -> SimpleNamespace:
        assert not add_special_tokens
        return SimpleNamespace(ids=[self._ids.get(word, self._ids["[UNK]"]) for word in text.split()])

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        return " ".join(self._words[i] for i in ids)
