"""Text to tokens: sources, splits, tokenizers, packed files and crops."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import word_level
from spikedrive.data.text import (
    ByteTokenizer,
    HuggingFaceTokenizer,
    TokenCrops,
    load_tokens,
    open_tokenizer,
    open_tokens,
    pack_tokens,
    read_texts,
    split_of,
    windows,
)
from spikedrive.errors import ConfigError, DataError, MissingExtraError

BYTES = ByteTokenizer()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A text for each split, one of them in three bytes a letter."""
    for split, text in (("train", "abcdefgh" * 5), ("val", "naïve €"), ("test", "end")):
        (tmp_path / "texts" / split).mkdir(parents=True)
        (tmp_path / "texts" / split / "a.txt").write_text(text, encoding="utf-8")
    return tmp_path / "texts"


def test_the_bundled_plays_are_whole_and_fall_where_their_hash_says() -> None:
    texts = {split: read_texts("shakespeare", split) for split in ("train", "val", "test")}
    assert sum(len(part) for part in texts.values()) == 37
    assert sorted(texts["val"]) == ["as_you_like_it", "henry_iv_part_1"]
    assert "To be, or not to be,--that is the question" in texts["train"]["hamlet"]
    assert all(split_of(text) == split for split, part in texts.items() for text in part.values())


def test_a_folder_without_splits_is_divided_by_content(tmp_path: Path) -> None:
    texts = {f"{i}.txt": f"text {i}" for i in range(40)}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        # the same again elsewhere falls into the same split
        (tmp_path / f"copy_{name}").write_text(text)
    parts = {split: read_texts(tmp_path, split) for split in ("train", "val", "test")}
    assert sum(len(part) for part in parts.values()) == 80
    assert all(name in parts[split] and f"copy_{name}" in parts[split]
               for name, text in texts.items() for split in [split_of(text)])  # fmt: skip


def test_packed_tokens_are_mapped_and_are_the_same(folder: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        made = load_tokens(folder, split, BYTES)
        path = pack_tokens(folder, tmp_path / "packed", BYTES, split)
        mapped = open_tokens(path)
        assert isinstance(mapped.tokens, np.memmap) and mapped.tokens.dtype == np.uint8
        assert np.array_equal(mapped.tokens, made.tokens) and mapped.text_bytes == made.text_bytes
        assert np.array_equal(load_tokens(tmp_path / "packed", split, BYTES).tokens, made.tokens)
    assert made.tokens.tolist() == [*"naïve €".encode(), 0]
    # what ends the text is a token too, which a model is judged on
    assert made.bytes_per_token == 10 / 11
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        DataError, match=r"val.tokens is no file of tokens \(it is cut off\); what pack_tokens"
    ):
        open_tokens(path)


def test_tokens_of_another_tokenizer_are_refused(folder: Path, tmp_path: Path) -> None:
    pack_tokens(folder, tmp_path / "packed", BYTES)

    class Other(ByteTokenizer):
        spec = fingerprint = "other"

    with pytest.raises(DataError, match="was packed with the tokenizer bytes, and other came; one tokenizer"):
        load_tokens(tmp_path / "packed", "train", Other())


def test_crops_are_a_function_of_their_place_and_windows_cover_the_text(folder: Path) -> None:
    tokens = load_tokens(folder, "train", BYTES)
    crops = TokenCrops(tokens, context=6, batch=4, seed=1)
    ids, targets = crops(0, 3)
    assert ids.shape == targets.shape == (6, 4) and ids.dtype == torch.int64
    assert torch.equal(ids[1:], targets[:-1])
    assert torch.equal(crops(0, 3)[0], ids) and not torch.equal(crops(0, 4)[0], ids)
    shares = [crops(0, 3, rank, 2)[0] for rank in (0, 1)]
    assert torch.equal(torch.cat(shares, 1), ids)
    seen = [targets.T.flatten() for _, targets in windows(tokens, context=6, batch=2)]
    assert torch.cat(seen).tolist() == tokens.tokens[1:37].tolist()


def test_bytes_come_as_characters_when_they_are_whole() -> None:
    more = BYTES.stream()
    assert [more(byte) for byte in "a€".encode()] == ["a", "", "", "€"]
    assert BYTES.decode([97, 226]) == "a\ufffd"


def test_a_tokenizer_of_hugging_face_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    word_level.provide(monkeypatch)
    file = word_level.write(tmp_path)
    tokenizer = open_tokenizer(tmp_path)
    assert (tokenizer.vocabulary, tokenizer.end) == (4, 1)
    assert tokenizer.encode("to be to").tolist() == [2, 3, 2]
    assert tokenizer.decode([2, 3]) == "to be"
    more = tokenizer.stream()
    assert more(2) + more(3) == "to be"
    assert tokenizer.fingerprint == hashlib.sha256(file.read_bytes()).hexdigest()
    file.write_text("{}")
    with pytest.raises(DataError, match=r"is no tokenizer .* what tokenizers.Tokenizer.save writes"):
        HuggingFaceTokenizer(tmp_path)


def test_without_the_package_its_tokenizers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what import does with a name that it knows to be missing
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtraError, match=r"needs the package tokenizers.* Run pip install tokenizers"):
        HuggingFaceTokenizer(word_level.write(tmp_path))


def test_the_end_of_a_text_is_a_token_that_means_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    word_level.provide(monkeypatch)
    first = open_tokenizer(word_level.write(tmp_path / "first", ("</s>", "to", "[UNK]")))
    assert first.end == 0
    assert load_tokens(folder, "test", first).tokens.tolist() == [2, 0]
    # id 0 is a word there
    none = open_tokenizer(word_level.write(tmp_path / "none", ("to", "be", "[UNK]")))
    assert none.end is None
    with pytest.raises(
        DataError, match=r"none/tokenizer.json has no token that ends a text; one of .*</s>.* Add"
    ):
        load_tokens(folder, "test", none)


@pytest.mark.parametrize("kind", ["bytes", "words"])
def test_a_text_that_is_no_utf8_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    word_level.provide(monkeypatch)
    tokenizer = BYTES if kind == "bytes" else open_tokenizer(word_level.write(tmp_path))
    # how Python keeps a byte of an argument that is no UTF-8
    with pytest.raises(
        DataError, match=r"a text that is no UTF-8 at character 1 \(.*dcff.*\); .* Write it in UTF-8"
    ):
        tokenizer.encode("a\udcff")


def test_other_sources_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="nowhere does not exist; accepted are the names shakespeare and a folder"
    ):
        read_texts("nowhere")
    with pytest.raises(DataError, match="got the split 'valid'; it takes train, val, test"):
        read_texts(folder, "valid")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty holds no .txt file; text files in UTF-8 are accepted"):
        read_texts(tmp_path / "empty")
    (tmp_path / "empty" / "a.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"a.txt cannot be read as UTF-8 .* Convert or remove it"):
        read_texts(tmp_path / "empty")
    (tmp_path / "empty" / "a.txt").write_text("text 0")
    with pytest.raises(
        DataError, match="has 1 texts, and none for val; each text goes into one split by its hash"
    ):
        read_texts(tmp_path / "empty", "val")
    with pytest.raises(ConfigError, match="got context=0, batch=1; both are whole numbers of at least 1"):
        TokenCrops(load_tokens(folder, "train", BYTES), context=0, batch=1)
    with pytest.raises(DataError, match="There are 4 tokens, and a window takes 9; the text must be longer"):
        next(windows(load_tokens(folder, "test", BYTES), context=8, batch=1))
