"""Language models from a folder of text to an answer: their tokenizer goes with them, and slips are told."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import spikedrive as sd
import word_level
from cli.conftest import Command
from spikedrive.cli import main

TINY = (
    "model_args.width=16",
    "model_args.depth=1",
    "task.context=4",
    "task.steps=1",
    "epochs=1",
    "batch_size=2",
)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text for each split."""
    folder = tmp_path_factory.mktemp("texts")
    for split in ("train", "val", "test"):
        (folder / split).mkdir()
        (folder / split / "a.txt").write_text("to be to to be be " * 5)
    return folder


@pytest.fixture(scope="module")
def run(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run that learned with a tokenizer of words, moved away from where it was made; the tokenizer is gone."""
    made, moved = (tmp_path_factory.mktemp("runs") / name for name in ("made", "moved"))
    tokenizer = word_level.write(made / "tokens")
    with pytest.MonkeyPatch.context() as monkeypatch:
        word_level.provide(monkeypatch)
        words = ["spikegpt_additive_6m", *TINY, f"task.tokenizer={tokenizer}"]
        assert main(["train", *words, "--data", str(texts), "--out", str(made / "run")]) == 0
        shutil.move(made / "run", moved)
        shutil.rmtree(made)
        yield moved


def test_a_moved_run_brings_its_tokenizer(run: Path, texts: Path, command: Command) -> None:
    known = sd.load_model(run / "checkpoints" / "best.safetensors").metadata
    assert known["tokenizer"] == "tokenizer.json" and "made" not in json.dumps(known)
    found = json.loads(command("eval", run, "--data", texts, "--json").out)
    assert found["tokens"] == 28
    answer = json.loads(command("generate", run, "--prompt", "to be", "--tokens", 3, "--json").out)
    assert len(answer["tokens"]) == 3 and set(answer["text"].split()) <= set(word_level.WORDS)


def test_another_tokenizer_is_refused_and_the_same_is_taken_from_anywhere(
    run: Path, texts: Path, command: Command, tmp_path: Path
) -> None:
    same = word_level.write(tmp_path / "same")
    other = word_level.write(tmp_path / "other", ("[UNK]", "<|endoftext|>", "be", "to"))
    for verb in (("eval", run, "--data", texts), ("generate", run, "--prompt", "to be", "--tokens", 1)):
        assert command(*verb, "--tokenizer", same).code == 0
        answer = command(*verb, "--tokenizer", other)
        assert answer.code == 2
        assert "learned with the tokenizer tokenizer.json (" in answer.err


def test_an_older_checkpoint_whose_tokenizer_is_gone_says_so(
    run: Path, texts: Path, command: Command, tmp_path: Path
) -> None:
    model = sd.load_model(run / "checkpoints" / "best.safetensors")
    same = word_level.write(tmp_path / "same")
    known = {k: v for k, v in model.metadata.items() if k != "tokenizer_json"} | {
        "tokenizer": "/gone/tokenizer.json"
    }
    model.metadata = {}
    sd.save_model(model, tmp_path / "old.safetensors", metadata=known)
    words = ("eval", tmp_path / "old.safetensors", "--data", texts)
    answer = command(*words)
    assert answer.code == 2
    assert (
        "tokenizer /gone/tokenizer.json, which is not there, and its checkpoint holds no copy" in answer.err
    )
    assert command(*words, "--tokenizer", same).code == 0


def test_training_goes_on_from_weights_with_their_tokenizer_alone(
    run: Path, texts: Path, command: Command, tmp_path: Path
) -> None:
    other = word_level.write(tmp_path / "other", ("[UNK]", "<|endoftext|>", "be", "to"))
    words = ("spikegpt_additive_6m", *TINY, f"task.tokenizer={other}", "--data", texts, "--weights", run)
    answer = command("train", *words, "--out", tmp_path / "run")
    assert answer.code == 2
    assert "learned with the tokenizer tokenizer.json (" in answer.err


def test_a_model_of_tokens_learns_text_without_being_told(
    texts: Path, command: Command, tmp_path: Path
) -> None:
    answer = command("train", "spikegpt_additive_6m", *TINY, "--data", texts, "--out", tmp_path / "run")
    assert answer.code == 0 and "spikedrive generate" in answer.out
    assert (
        sd.load_model(tmp_path / "run" / "checkpoints" / "best.safetensors").metadata["tokenizer"] == "bytes"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "train got the model spikegpt_6m and no text; .* Add --data, for example --data shakespeare"),
        (("--data", "FILE"), "a.txt is no folder; accepted are .* Put the text into one"),
        (
            ("--data", "FOLDER", "--task", "classify"),
            "spikegpt_6m takes tokens of text, and .* Set --task lm",
        ),
        (
            ("--data", "FOLDER", "task.context=abc"),
            "key 'task.context' got 'abc'; it takes a whole number of at least",
        ),
        (
            ("--data", "FOLDER", "task.context=8.5"),
            "key 'task.context' got 8.5; it takes a whole number of at least",
        ),
        (
            ("--data", "FOLDER", "task.context=0"),
            "key 'task.context' got 0; it takes a whole number of at least 1",
        ),
        (
            ("--data", "FOLDER", "task.steps=-3"),
            "key 'task.steps' got -3; it takes a whole number of at least 1",
        ),
        (
            ("--data", "FOLDER", "task.steps=true"),
            "key 'task.steps' got True; it takes a whole number of at least",
        ),
        (
            ("--data", "FOLDER", "task.wrap=much"),
            "key 'task.wrap' got 'much'; it takes a number of at least 0",
        ),
        (("--data", "FOLDER", "task.tokenizer=7"), "key 'task.tokenizer' got 7; it takes 'bytes' or a path"),
    ],
)
def test_slips_are_told(
    words: tuple[str, ...], message: str, texts: Path, command: Command, tmp_path: Path
) -> None:
    places = {"FILE": str(texts / "train" / "a.txt"), "FOLDER": str(texts)}
    answer = command("train", "spikegpt_6m", *(places.get(w, w) for w in words), "--out", tmp_path / "run")
    assert answer.code == 2 and len(answer.err.splitlines()) == 1
    assert re.search(message, answer.err), answer.err


def test_a_prompt_that_is_no_utf8_is_refused(command: Command) -> None:
    # a byte that is no UTF-8, as Python reads it from the command line
    answer = command("generate", "spikegpt_6m", "--prompt", "a\udcff", "--tokens", 1)
    assert answer.code == 2 and "no UTF-8 at character 1" in answer.err


def test_a_tokenizer_is_no_matter_of_images(command: Command, texts: Path) -> None:
    answer = command("eval", "sew_resnet_nano.fashion", "--data", texts, "--tokenizer", "bytes")
    assert (
        answer.code == 2 and "task accuracy got --tokenizer; it takes --data, --split. Leave it" in answer.err
    )


def test_control_characters_are_shown_on_a_terminal(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = sd.create_model("spikegpt_additive_6m", width=16, depth=1).eval()
    with torch.no_grad():
        # it says nothing but the character that begins commands to a terminal
        model.head.bias[0x1B] = 1e6
    sd.save_model(model, tmp_path / "m.safetensors")
    words = ("generate", tmp_path / "m.safetensors", "--prompt", "a", "--tokens", "3", "--temperature", "0")
    assert command(*words).out == "\x1b\x1b\x1b\n"
    monkeypatch.setattr("spikedrive.cli.output.on_terminal", lambda: True)
    answer = command(*words)
    assert answer.out == r"\x1b\x1b\x1b" + "\n"
    assert "\x1b" not in answer.err


def test_recall_stands_beside_chance(command: Command, tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "m.safetensors"
    sd.save_model(sd.create_model("spikegpt_6m", width=16, depth=1).eval(), path)
    words = ("eval", path, "--task", "mqar", "--pairs", 4, "--length", 32, "--samples", 9)
    found = json.loads(command(*words, "--json").out)
    assert found == json.loads(command(*words, "--json").out)
    assert (found["task"], found["chance"], found["answers"], found["samples"]) == ("mqar", 0.25, 36, 9)
    assert 0 <= found["accuracy"] < 0.25 and json.loads(command(*words, "--seed", 1, "--json").out) != found
    assert re.search(
        r"% of 36 values recalled, by chance 25.00% \(4 pairs in 32 tokens, 9 texts\)", command(*words).out
    )
    words = ("eval", path, "--task", "passkey", "--samples", 3)
    found = json.loads(command(*words, "--json").out)
    assert (found["chance"], found["samples"], found["length"], found["answers"]) == (1e-5, 3, 256, 18)
    assert "0.00% of 3 numbers recalled, by chance 1e-05 (5 digits in 256 tokens)" in command(*words).out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--task", "mqar", "--data", "x"),
            "The task mqar got --data; it takes --length, --samples, --seed, --pairs",
        ),
        (
            ("--task", "accuracy", "--data", "x"),
            "takes tokenss?, and the task accuracy came; it can be asked for perp",
        ),
        ((), "The task perplexity came without --data; it takes text. Add --data FOLDER"),
        (("--task", "mqar", "--length", "8"), "takes at least 32 tokens for 8 pairs"),
        (("--task", "passkey", "--length", "8"), "with this tokenizer it takes at least"),
    ],
)
def test_other_questions_are_refused(
    words: tuple[str, ...], message: str, command: Command, tmp_path: Path
) -> None:
    sd.save_model(sd.create_model("spikegpt_6m", width=16, depth=1).eval(), tmp_path / "m.safetensors")
    answer = command("eval", tmp_path / "m.safetensors", *words)
    assert answer.code == 2 and re.search(message, answer.err), answer.err
