"""A number hidden in filler text, asked for at its end."""

from __future__ import annotations

import numpy as np
import torch

from spikedrive.data.text import Tokenizer
from spikedrive.errors import DataError
from spikedrive.neurons.neuron import check_count
from spikedrive.tasks.answers import UNASKED, Questions

TASK = "Keep the number in mind.\n"
FILLER = "Rain falls on the roofs, and the river carries it away. "
NEEDLE = "The number is {key}. "
QUESTION = "\nThe number is"


def passkey(
    tokenizer: Tokenizer, *, length: int = 256, samples: int = 50, seed: int = 0, digits: int = 5
) -> Questions:
    """Texts of filler with a number of `digits` digits in each: near the start in the first, near the end in the last.

    The number is asked for at the end, and every token of it but the last stands behind the question.

    *Shapes*: ids and targets (length, samples).
    *Units*: `chance` is 10^-digits, what guessing whole numbers gets right: compare it with `all_right`.
    *Raises*: ConfigError for numbers below 1; DataError for a length that does not hold the text around the filler, or
    a tokenizer that makes numbers of different lengths.
    *Source*: the task of "Landmark Attention" (arXiv 2305.16300), with a text of our own.
    """
    for key, value in (("digits", digits), ("samples", samples)):
        check_count("passkey", key, value)
    random = np.random.default_rng(seed)
    first, last = 10 ** (digits - 1), 10**digits
    head, filler, question = (tokenizer.encode(part) for part in (TASK, FILLER, QUESTION))
    texts, rights = [], []
    for depth in np.linspace(0, 1, samples):
        number = str(random.integers(first if digits > 1 else 0, last))
        needle, wanted = tokenizer.encode(NEEDLE.format(key=number)), tokenizer.encode(f" {number}")
        room = length - len(head) - len(needle) - len(question) - (len(wanted) - 1)
        if room < len(filler):
            raise DataError(
                f"passkey got a length of {length} tokens; with this tokenizer it takes at least "
                f"{length - room + len(filler)}, for the question and one round of filler. Ask for a longer text."
            )
        before = round(depth * room)
        padding = np.resize(filler, room)
        text = np.concatenate((head, padding[:before], needle, padding[before:], question, wanted[:-1]))
        right = np.full(length, UNASKED)
        right[-len(wanted) :] = wanted
        texts.append(text)
        rights.append(right)
    ids, targets = (torch.from_numpy(np.stack(rows, 1).astype(np.int64)) for rows in (texts, rights))
    return Questions(ids, targets, 1 / 10**digits)
