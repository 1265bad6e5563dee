"""Multi-query associative recall: keys with values in front, and each key asked for later."""

from __future__ import annotations

import numpy as np
import torch

from spikedrive.errors import ConfigError
from spikedrive.neurons.neuron import check_count
from spikedrive.tasks.answers import UNASKED, Questions

POWER = 0.01
"""Of the law by which a query's distance is drawn: the density of a slot at the share g of the way is g^(POWER - 1)."""


def multi_query_recall(
    vocabulary: int, *, length: int = 64, pairs: int = 8, samples: int = 256, seed: int = 0
) -> Questions:
    """`pairs` keys with a value behind each, then each key once more among random tokens; behind it its value is right.

    Keys are of the lower half of the vocabulary, values of the upper half, and none of either comes twice. Queries
    stand in every second place behind the pairs, near ones more often than far ones; a query's value does not follow
    it.

    *Shapes*: ids and targets (length, samples).
    *Units*: `chance` is 1 / pairs, what guessing among the values of the text gets right.
    *Raises*: ConfigError for numbers below 1, more pairs than keys, or a length below 4 a pair.
    *Source*: "Zoology: Measuring and Improving Recall in Efficient Language Models" (arXiv 2312.04927), written from
    its description; there the answers are learned by training on this task, here any model may be asked.

    >>> asked = multi_query_recall(16, length=8, pairs=1, samples=2)
    >>> tuple(asked.ids.shape), asked.chance
    ((8, 2), 1.0)
    """
    for key, value in (("pairs", pairs), ("samples", samples)):
        check_count("multi_query_recall", key, value)
    if pairs > vocabulary // 2:
        raise ConfigError(
            f"multi_query_recall got {pairs} pairs of a vocabulary of {vocabulary}; half of it are keys, so that it "
            f"takes at most {vocabulary // 2}. Ask for fewer pairs."
        )
    if length < 4 * pairs:
        raise ConfigError(
            f"multi_query_recall got a length of {length}; it takes at least {4 * pairs} tokens for {pairs} pairs. "
            "Ask for fewer pairs, or a longer text."
        )
    random, front = np.random.default_rng(seed), 2 * pairs
    slots = (length - front) // 2
    chances = np.diff((np.arange(slots + 1) / slots) ** POWER)
    ids = random.integers(0, vocabulary, (samples, length))
    targets = np.full((samples, length), UNASKED)
    for text, right in zip(ids, targets, strict=True):
        keys = random.choice(vocabulary // 2, pairs, replace=False)
        values = vocabulary // 2 + random.choice(vocabulary - vocabulary // 2, pairs, replace=False)
        text[0:front:2], text[1:front:2] = keys, values
        places = front + 2 * random.choice(slots, pairs, replace=False, p=chances)
        text[places], right[places] = keys, values
    return Questions(torch.from_numpy(ids.T.copy()), torch.from_numpy(targets.T.copy()), 1 / pairs)
