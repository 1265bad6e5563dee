"""`spikedrive generate`: text from a checkpoint, in PyTorch and by the compiled program."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import spikedrive as sd
from cli.conftest import Command
from spikedrive.data.text import ByteTokenizer, load_tokens
from spikedrive.engine.twin import Twin
from spikedrive.errors import ConfigError, DataError
from spikedrive.live.energy import text_meter
from spikedrive.tasks.generate import Sampling, draw, generate
from spikedrive.training import evaluate_text


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An additive model without training."""
    torch.manual_seed(0)
    model = sd.create_model("spikegpt_additive_6m", width=16, depth=1).eval()
    path = tmp_path_factory.mktemp("lm") / "model.safetensors"
    sd.save_model(model, path, metadata={"tokenizer": "bytes", "fingerprint": "bytes"})
    return path


def test_the_engine_gives_the_tokens_of_the_float_model_with_its_weights(
    command: Command, checkpoint: Path
) -> None:
    words = ("generate", checkpoint, "--prompt", "To be", "--tokens", "12", "--temperature", "0", "--json")
    plain, compiled = (json.loads(command(*words, *more).out) for more in ((), ("--engine",)))
    for answer in (plain, compiled):
        assert answer["tokens_per_s"] > 0 and answer["median_tokens_per_s"] > 0
        # the last token is drawn, and read by nobody
        assert answer["tokens_read"] == len(b"To be") + 11
    assert plain["text"] == ByteTokenizer().decode(plain["tokens"])
    model = sd.load_model(checkpoint)
    stream = sd.Stream(Twin(sd.compile(model, torch.zeros(1, 1).long()), model).model, along="tokens")

    def step(ids: Any) -> torch.Tensor:
        return stream(torch.tensor(ids)[:, None])[-1, 0]

    tokens = list(generate(step, list(b"To be"), tokens=12, sampling=Sampling(temperature=0)))
    assert compiled["tokens"] == tokens
    # what the program counts is what hooks see on the float model with its weights, fed the same tokens
    twin = Twin(sd.compile(model, torch.zeros(1, 1).long()), model).model
    meter = text_meter(twin, list(b"To be"))
    with torch.inference_mode(), meter.watching(16):
        twin(torch.tensor([*b"To be", *tokens[:-1]])[:, None])
    assert 0 < compiled["firing_rate"] == pytest.approx(meter.firing_rate)
    assert 0 < compiled["picojoules_per_token"] == pytest.approx(1e12 * meter.joules)
    assert len(set(tokens)) > 1


def test_figures_stand_on_stderr_and_text_on_stdout(command: Command, checkpoint: Path) -> None:
    words = ("generate", checkpoint, "--prompt", "Now", "--tokens", "8", "--seed")
    first, other = (command(*words, seed) for seed in ("3", "4"))
    assert first.out != other.out
    assert re.fullmatch(
        r"[\d.]+ tokens/s, prompt included \(median [\d.]+\); mean of the 10 tokens read: firing rate [\d.]+, "
        r"\d+ pJ a token \(median \d+; table 45nm\)\n",
        first.err,
    ), first.err


def test_a_model_without_neurons_is_said_to_have_none(command: Command) -> None:
    words = ("generate", "gpt_dense_6m", "--prompt", "Now", "--tokens", "2")
    assert "mean of the 4 tokens read: no neurons, " in command(*words).err
    answer = json.loads(command(*words, "--json").out)
    assert answer["firing_rate"] is None and answer["neuron_layers"] == 0
    assert answer["picojoules_per_token"] == answer["median_picojoules_per_token"] > 0
    # an event of the EGRU carries its value
    assert "read: neurons without spikes, " in command("generate", "egru_6m", *words[2:]).err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--prompt", ""), "empty prompt; it takes at least one token"),
        (("--prompt", "a", "--temperature", "-1"), "got temperature=-1.0; it takes a number of 0 or more"),
        (("--prompt", "a", "--top-p", "0"), "got top_p=0.0; it takes a number of above 0 and at most 1"),
        (("--prompt", "a", "--tokenizer", "nowhere"), "nowhere holds no tokenizer.json; a folder with one"),
    ],
)
def test_bad_input_is_refused(
    arguments: tuple[str, ...], message: str, command: Command, checkpoint: Path
) -> None:
    answer = command("generate", str(checkpoint), *arguments)
    assert answer.code == 2
    assert message in answer.err


@pytest.mark.parametrize(
    ("target", "more", "message"),
    [
        ("meta_spikeformer_nano", (), "which takes images; generate takes models of tokens"),
        (
            "gpt_dense_6m",
            ("--tokens", "256"),
            "beyond the context of 256; both together fit into it. Set --tokens 255",
        ),
        ("spikegpt_216m_", (), "There is no model, run or checkpoint named"),
    ],
)
def test_other_targets_are_refused(
    target: str, more: tuple[str, ...], message: str, command: Command
) -> None:
    answer = command("generate", target, "--prompt", "a", *more)
    assert answer.code == 2
    assert message in answer.err


def test_a_folder_that_is_no_model_and_a_wrong_tokenizer_are_refused(
    command: Command, tmp_path: Path, checkpoint: Path
) -> None:
    answer = command("generate", str(tmp_path) + "/", "--prompt", "a")
    assert answer.code == 2 and "is a folder without checkpoints" in answer.err
    model = sd.load_model(checkpoint)
    sd.save_model(model, tmp_path / "m.safetensors", metadata={"tokenizer": "bytes", "fingerprint": "other"})
    answer = command("generate", str(tmp_path / "m.safetensors"), "--prompt", "a")
    assert answer.code == 2 and "ids of one mean nothing to the other" in answer.err
    small = sd.create_model("spikegpt_additive_6m", width=16, depth=1, vocabulary=7)
    sd.save_model(small, tmp_path / "s.safetensors")
    answer = command("generate", str(tmp_path / "s.safetensors"), "--prompt", "a")
    assert answer.code == 2 and "has 256 tokens and the model 7" in answer.err


def test_draws_keep_to_the_likeliest() -> None:
    logits = torch.tensor([0.0, 3.0, 2.0, -1.0])
    source = torch.Generator().manual_seed(0)
    drawn = {
        (k, p): {draw(logits, Sampling(2.0, k, p), source) for _ in range(200)}
        for k, p in ((0, 1.0), (2, 1.0), (0, 0.3), (3, 0.9))
    }
    assert drawn[0, 1.0] == {0, 1, 2, 3}
    again = [[draw(logits, Sampling(), torch.Generator().manual_seed(7)) for _ in range(9)] for _ in range(2)]
    assert again[0] == again[1]
    assert drawn[2, 1.0] == {1, 2}
    assert drawn[0, 0.3] == {1}
    assert drawn[3, 0.9] <= {0, 1, 2}
    with pytest.raises(ConfigError, match="got top_k=-1; it takes a number of 0 or more"):
        Sampling(top_k=-1)
    with pytest.raises(DataError, match="an empty prompt; it takes at least one token"):
        next(generate(lambda ids: logits, [], tokens=1, sampling=Sampling()))


def test_tokens_are_fed_back_one_by_one() -> None:
    seen: list[list[int]] = []

    def step(ids: Any) -> torch.Tensor:
        seen.append(list(ids))
        return torch.eye(5)[(ids[-1] + 1) % 5]

    assert list(generate(step, [0, 1], tokens=4, sampling=Sampling(temperature=0))) == [2, 3, 4, 0]
    assert seen == [[0, 1], [2], [3], [4]]


def test_text_is_judged_in_bits_a_byte(command: Command, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "a.txt").write_text("to be " * 90)
    found = json.loads(command("eval", checkpoint, "--data", tmp_path, "--json").out)
    assert found["tokens"] == 512
    # 540 bytes, and a token that ends them
    assert math.isclose(found["bits_per_byte"], math.log2(found["perplexity"]) * 541 / 540)
    assert 5 < found["bits_per_byte"] < 12
    small = sd.create_model("spikegpt_additive_6m", width=16, depth=1, vocabulary=7)
    with pytest.raises(ConfigError, match=r"a vocabulary of 256 for a model of 7; both have the same. Load"):
        evaluate_text(small, load_tokens(tmp_path, "test", ByteTokenizer()), context=8)
