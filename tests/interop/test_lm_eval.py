"""A language model as lm-eval-harness asks it: likelihoods by hand, and one of its tasks made here."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

import spikedrive as sd
import word_level
from spikedrive.blocks.language import LanguageModel
from spikedrive.data.text import ByteTokenizer, open_tokenizer
from spikedrive.errors import ConfigError, MissingExtraError
from spikedrive.interop.lm_eval import Judge, as_lm

BYTES = ByteTokenizer()


class Follows(LanguageModel):
    """The letter after each letter is e times as likely as any other byte; behind a text's end it is `a`."""

    def __init__(self, context: int | None = None) -> None:
        super().__init__(vocabulary=256, context=context)
        self.shift = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        ids = self.forward_blocks(x)
        wanted = torch.where(ids == 0, ord("a"), torch.where(ids == ord("z"), 0, ids + 1))
        return nn.functional.one_hot(wanted, 256) * self.shift

    def forward_blocks(self, x: Tensor) -> Tensor:
        return self.check_ids(x)


LIKELY, OTHER = 1 - math.log(math.e + 255), -math.log(math.e + 255)


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_likelihoods_are_those_by_hand(batch_size: int) -> None:
    judge = Judge(Follows(), BYTES, batch_size)
    found = judge.likelihoods([("ab", "cd"), ("ab", "ce"), ("", "ab"), ("abc", "dx"), ("a ", "b")])
    # a blank goes to what follows it
    wanted = [
        (2 * LIKELY, True),
        (LIKELY + OTHER, False),
        (2 * LIKELY, True),
        (LIKELY + OTHER, False),
        (2 * OTHER, False),
    ]
    assert [right for _, right in found] == [right for _, right in wanted]
    assert [score for score, _ in found] == pytest.approx([score for score, _ in wanted])


@pytest.mark.parametrize("context", [None, 2, 3, 7])
def test_a_whole_text_is_judged_token_by_token_once(context: int | None) -> None:
    judge = Judge(Follows(context), BYTES)
    assert judge.whole("abcdefg") == pytest.approx(7 * LIKELY)
    assert judge.whole("abxyzca") == pytest.approx(4 * LIKELY + 3 * OTHER)
    assert judge.whole("") == 0


def test_each_token_sees_as_much_as_the_context_takes() -> None:
    torch.manual_seed(0)
    model = sd.create_model("gpt_dense_6m", width=16, depth=1, heads=2, context=4).eval()
    tokens = [0, *b"abcdefg"]
    logs = []
    for i in range(1, len(tokens)):
        # windows of four tokens, the last one moved back
        start = {1: 0, 2: 0, 3: 0, 4: 0}.get(i, 3)
        with torch.no_grad():
            logits = model(torch.tensor(tokens[start:i])[:, None])[-1, 0]
        logs.append(float(logits.double().log_softmax(-1)[tokens[i]]))
    assert Judge(model, BYTES).whole("abcdefg") == pytest.approx(sum(logs), rel=1e-6)
    assert Judge(model, BYTES).likelihoods([("abcdef", "g")])[0][0] == pytest.approx(logs[-1], rel=1e-6)


def test_text_goes_on_until_a_stop() -> None:
    judge = Judge(Follows(), BYTES)
    assert judge.until("ab", {"until": ["fg", "z"], "max_gen_toks": 50}) == "cde"
    assert judge.until("ab", {"until": "nowhere", "max_gen_toks": 4}) == "cdef"
    assert judge.until("w", {}) == "xyz"
    drawn = judge.until("ab", {"until": [], "max_gen_toks": 40, "do_sample": True, "temperature": 5.0})
    assert not drawn.startswith("cdefg")
    # the prompt is cut in front
    assert Judge(Follows(4), BYTES).until("abcdef", {"until": [], "max_gen_toks": 2}) == "gh"


def test_another_tokenizer_and_a_missing_package_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    word_level.provide(monkeypatch)
    words = open_tokenizer(word_level.write(tmp_path))
    with pytest.raises(
        ConfigError, match="of 4 tokens, its end of a text 1, for a model of 256; both have the same"
    ):
        Judge(Follows(), words)
    monkeypatch.setitem(sys.modules, "lm_eval.api.model", None)
    with pytest.raises(MissingExtraError, match=r"needs the package lm_eval .* Run pip install lm_eval"):
        as_lm(Follows())


def test_the_harness_runs_a_task_of_its_own_form(
    library: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HOME", "HF_DATASETS_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    for name in ("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE", "TQDM_DISABLE"):
        monkeypatch.setenv(name, "1")
    harness, tasks = library("lm_eval"), library("lm_eval.api.task")
    file = tmp_path / "letters.jsonl"
    rows = [("ab", 0), ("fg", 0), ("xy", 1), ("kl", 0)]
    choices = {"ab": ["c", "x"], "fg": ["h", "a"], "xy": ["z", "b"], "kl": ["m", "q"]}
    file.write_text(
        "".join(json.dumps({"text": t, "gold": g, "choices": choices[t]}) + "\n" for t, g in rows)
    )
    shared = {
        "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(file)}}, "test_split": "test",
        "doc_to_text": "{{text}}", "target_delimiter": "",
    }  # fmt: skip
    choose = tasks.ConfigurableTask(
        config={
            **shared, "task": "next_letter", "output_type": "multiple_choice", "doc_to_target": "gold",
            "doc_to_choice": "choices", "metric_list": [{"metric": "acc"}],
        }
    )  # fmt: skip
    rolling = tasks.ConfigurableTask(
        config={
            **shared, "task": "letters", "output_type": "loglikelihood_rolling", "doc_to_text": "",
            "doc_to_target": "{{text}}", "metric_list": [{"metric": "byte_perplexity"}],
        }
    )  # fmt: skip
    found = harness.simple_evaluate(model=as_lm(Follows()), tasks=[choose, rolling], bootstrap_iters=0)
    # of "xy" the gold answer is the wrong letter
    assert found["results"]["next_letter"]["acc,none"] == 3 / 4
    nats = -(1 * 2 * LIKELY + 3 * (OTHER + LIKELY))
    assert found["results"]["letters"]["byte_perplexity,none"] == pytest.approx(math.exp(nats / 8))
    written = harness.simple_evaluate(
        model=as_lm(Follows()), bootstrap_iters=0,
        tasks=[
            tasks.ConfigurableTask(
                config={
                    **shared, "task": "goes_on", "output_type": "generate_until", "doc_to_target": "{{choices[0]}}",
                    "generation_kwargs": {"until": ["z"], "max_gen_toks": 1},
                    "metric_list": [{"metric": "exact_match"}],
                }
            )
        ],
    )  # fmt: skip
    assert written["results"]["goes_on"]["exact_match,none"] == 3 / 4


def test_requests_carry_their_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval.api.model", SimpleNamespace(LM=object))
    asked = as_lm(Follows())
    assert asked.loglikelihood([SimpleNamespace(args=("ab", "c"))]) == [(pytest.approx(LIKELY), True)]
    assert asked.loglikelihood_rolling([SimpleNamespace(args=("ab",))]) == [pytest.approx(2 * LIKELY)]
    assert asked.generate_until([SimpleNamespace(args=("ab", {"max_gen_toks": 1}))]) == ["c"]
