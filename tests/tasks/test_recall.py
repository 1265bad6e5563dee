"""Questions about what stood earlier: made alike by the same seed, and answered by whoever looks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import word_level
from spikedrive.data.text import ByteTokenizer, open_tokenizer
from spikedrive.errors import ConfigError, DataError
from spikedrive.tasks.answers import UNASKED, Questions, answer
from spikedrive.tasks.mqar import multi_query_recall
from spikedrive.tasks.passkey import passkey

BYTES = ByteTokenizer()


class Says(nn.Module):
    """A model whose answer at each place is a function of the tokens up to there."""

    def __init__(self, vocabulary: int, says: Callable[[list[int]], int]) -> None:
        super().__init__()
        self.vocabulary, self.says = vocabulary, says

    def forward(self, ids: Tensor) -> Tensor:
        said = [[self.says(text[: i + 1]) for i in range(len(text))] for text in ids.T.tolist()]
        return nn.functional.one_hot(torch.tensor(said).T, self.vocabulary).float()


def follows_the_first(seen: list[int]) -> int:
    """What stood behind this token when it came first."""
    return seen[min(seen.index(seen[-1]) + 1, len(seen) - 1)]


@pytest.mark.parametrize(
    ("vocabulary", "length", "pairs"), [(256, 64, 8), (40, 32, 8), (16, 33, 4), (4, 4, 1)]
)
def test_each_key_is_asked_once_behind_all_pairs(vocabulary: int, length: int, pairs: int) -> None:
    asked = multi_query_recall(vocabulary, length=length, pairs=pairs, samples=9, seed=3)
    assert asked.ids.shape == asked.targets.shape == (length, 9)
    assert int(asked.ids.min()) >= 0 and int(asked.ids.max()) < vocabulary
    for ids, targets in zip(asked.ids.T.tolist(), asked.targets.T.tolist(), strict=True):
        value_of = dict(zip(ids[: 2 * pairs : 2], ids[1 : 2 * pairs : 2], strict=True))
        assert len(value_of) == pairs
        assert all(key < vocabulary // 2 <= value for key, value in value_of.items())
        places = [i for i, target in enumerate(targets) if target != UNASKED]
        assert min(places) >= 2 * pairs
        assert sorted(ids[i] for i in places) == sorted(value_of)
        assert all(targets[i] == value_of[ids[i]] for i in places)
    assert asked.chance == 1 / pairs


def test_short_gaps_are_the_most_frequent() -> None:
    asked = multi_query_recall(256, length=256, pairs=4, samples=400, seed=0)
    places = [i for row in asked.targets.T.tolist() for i, target in enumerate(row) if target != UNASKED]
    near = sum(i < 8 + 32 for i in places)
    # of 124 slots the first 16, by a power law far more than their 13 %
    assert near / len(places) > 0.4


def test_who_looks_is_right_and_who_guesses_is_at_chance() -> None:
    asked = multi_query_recall(256, length=64, pairs=8, samples=300, seed=1)
    found = answer(Says(256, follows_the_first), asked, batch_size=64)
    assert (found["accuracy"], found["all_right"], found["answers"], found["samples"]) == (1, 1, 2400, 300)
    # the value that came last in the context, whatever is asked
    found = answer(Says(256, lambda seen: seen[15] if len(seen) > 15 else 0), asked, batch_size=7)
    assert found["accuracy"] == pytest.approx(1 / 8)
    assert found["all_right"] == 0


def test_the_seed_decides_and_nothing_else() -> None:
    for make in (
        lambda seed: multi_query_recall(64, length=40, pairs=4, samples=5, seed=seed),
        lambda seed: passkey(BYTES, length=400, samples=5, seed=seed),
    ):
        first, again, other = make(7), make(7), make(8)
        assert torch.equal(first.ids, again.ids) and torch.equal(first.targets, again.targets)
        assert not torch.equal(first.ids, other.ids)


def test_the_number_stands_once_in_the_filler_and_is_asked_for() -> None:
    asked = passkey(BYTES, length=500, samples=6, seed=0, digits=5)
    assert asked.ids.shape == (500, 6) and asked.chance == 1e-5
    depths = []
    for ids, targets in zip(asked.ids.T.tolist(), asked.targets.T.tolist(), strict=True):
        # the last target is what comes behind the text
        text = BYTES.decode(ids)
        key = BYTES.decode([t for t in targets if t != UNASKED])
        assert key.strip().isdigit() and len(key.strip()) == 5
        assert text.count(key.strip()) == 1 and text.endswith(f"The number is{key[:-1]}")
        depths.append(text.index(key.strip()))
    assert depths == sorted(depths) and depths[0] < 100 and depths[-1] > 300


def test_who_reads_the_number_again_is_right() -> None:
    asked = passkey(BYTES, length=400, samples=8, seed=2)

    def reads_again(seen: list[int]) -> int:
        text = bytes(seen)
        # what followed the last bytes when they stood there first
        return text[min(text.index(text[-12:]) + 12, len(text) - 1)]

    assert answer(Says(256, reads_again), asked, batch_size=3)["all_right"] == 1
    found = answer(Says(256, lambda seen: ord(" ")), asked, batch_size=3)
    assert found["all_right"] == 0 and found["accuracy"] == pytest.approx(1 / 6)


def test_a_number_is_as_many_tokens_as_its_tokenizer_makes_of_it(tmp_path, monkeypatch) -> None:
    word_level.provide(monkeypatch)
    tokenizer = open_tokenizer(word_level.write(tmp_path))
    asked = passkey(tokenizer, length=80, samples=2, seed=0)
    assert asked.ids.shape == (80, 2)
    assert [(t != UNASKED).sum().item() for t in asked.targets.T] == [1, 1]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: multi_query_recall(256, length=31, pairs=8),
            ConfigError,
            "takes at least 32 tokens for 8 pairs",
        ),
        (
            lambda: multi_query_recall(14, length=64, pairs=8),
            ConfigError,
            "8 pairs of a vocabulary of 14; .* at most 7",
        ),
        (lambda: multi_query_recall(256, length=64, pairs=0), ConfigError, "pairs"),
        (lambda: passkey(BYTES, length=100), DataError, r"length of 100 tokens; .* at least \d+"),
        (lambda: passkey(BYTES, length=400, digits=0), ConfigError, "digits"),
        (lambda: passkey(BYTES, length=400, samples=0), ConfigError, "samples"),
        (
            lambda: answer(Says(7, follows_the_first), multi_query_recall(256)),
            ConfigError,
            "tokens up to 255 for a model of 7; .* Ask with the model's own vocabulary",
        ),
    ],
)
def test_other_questions_are_refused(make: Callable[[], Questions], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        make()
