"""Classifiers of texts train, resume to the same bits, start from a BERT's folder, and refuse what is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from spikedrive.data.text import ByteTokenizer, encode_labelled, load_labelled
from spikedrive.errors import ConfigError, DataError
from spikedrive.training import Recipe, evaluate_labelled, train

TINY = {"width": 16, "depth": 1, "heads": 2, "hidden": 16, "steps": 2, "context": 32}


class StopHereError(Exception):
    """What the test's callback throws."""


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Two classes that a letter tells apart, in every split."""
    for split, count in (("train", 32), ("val", 8), ("test", 8)):
        rows = [
            (f"{'aaaa' if i % 2 else 'zzzz'} {split} {i}", ("first", "last")[1 - i % 2]) for i in range(count)
        ]
        lines = "".join(f"{text},{label}\n" for text, label in rows)
        path = tmp_path / "texts" / f"{split}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"text,label\n{lines}")
    return tmp_path / "texts"


def recipe(texts: Path, **changes: Any) -> Recipe:
    return Recipe(
        **{
            "model": "spikelm_23m", "data": str(texts), "model_args": TINY, "epochs": 2, "batch_size": 16, "lr": 3e-3,
            "task": {"name": "text_classification", "context": 24}, "threads": 1, "device": "cpu",
            "save_minutes": 1e-9, **changes,
        }
    )  # fmt: skip


def test_two_steps_then_a_resumed_run_equals_an_unbroken_one(texts: Path, tmp_path: Path) -> None:
    def stop(line: dict[str, Any]) -> None:
        if line["kind"] == "step" and line["step"] == 3:
            raise StopHereError

    whole = train(recipe(texts), tmp_path / "whole", progress=False)
    assert (whole.metrics["steps"], whole.metrics["train_texts"], whole.metrics["val_texts"]) == (4, 32, 8)
    with pytest.raises(StopHereError):
        train(recipe(texts), tmp_path / "stopped", progress=False, callback=stop)
    train(recipe(texts), tmp_path / "stopped", progress=False)
    a, b = (load_file(tmp_path / run / "checkpoints" / "last.safetensors") for run in ("whole", "stopped"))
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    metadata = whole.load().metadata
    assert metadata["class_names"] == ["first", "last"] and metadata["tokenizer"] == "bytes"


def test_it_learns_what_a_letter_tells(texts: Path, tmp_path: Path) -> None:
    done = train(recipe(texts, epochs=12, task={"name": "text_classification", "context": 24}), tmp_path / "r",
                 progress=False)  # fmt: skip
    test = encode_labelled(load_labelled(texts, "test"), ByteTokenizer(), 24)
    assert evaluate_labelled(done.load(), test)["accuracy"] == 1.0 == done.metrics["val_accuracy"]


def test_amplitudes_are_set_before_the_first_step(texts: Path, tmp_path: Path) -> None:
    done = train(recipe(texts, epochs=1), tmp_path / "r", progress=False)
    amplitudes = [v for key, v in done.load().state_dict().items() if key.endswith("amplitude")]
    assert amplitudes and all((a > 0).all() and not (a == 1).any() for a in amplitudes)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"model": "spikegpt_6m", "model_args": {}},
            ConfigError,
            "got spikegpt_6m, whose task is lm; it trains",
        ),
        ({"teacher": "a"}, ConfigError, "got teacher; it takes task.context"),
        (
            {"task": {"name": "text_classification", "contxt": 8}},
            ConfigError,
            "got task.contxt; it takes task.con",
        ),
        (
            {"task": {"name": "text_classification", "context": 2}},
            ConfigError,
            "got 2; it takes a whole number of",
        ),
        ({"batch_size": 64}, DataError, "gives 32 training texts; a step takes batch_size=64"),
        ({"accumulate": 3}, ConfigError, "comes out unevenly; a multiple is accepted"),
    ],
)
def test_other_recipes_are_refused(
    changes: dict[str, Any], error: type, message: str, texts: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        train(recipe(texts, **changes), tmp_path / "r", progress=False)


def test_texts_of_more_classes_than_logits_are_refused(texts: Path, tmp_path: Path) -> None:
    model = train(recipe(texts, epochs=1), tmp_path / "r", progress=False).load()
    (texts / "train.csv").write_text("text,label\na,b\nc,d\ne,f\n")
    three = encode_labelled(load_labelled(texts, "train"), ByteTokenizer(), 24)
    with pytest.raises(
        ConfigError, match="texts of 3 classes for a model with 2 logits; it takes at most as many"
    ):
        evaluate_labelled(model, three)
