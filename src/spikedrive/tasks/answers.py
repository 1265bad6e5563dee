"""Questions with one right token each, and how many of them a language model answers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikedrive.errors import ConfigError

UNASKED = -100
"""The target where nothing is asked."""


@dataclass(frozen=True, eq=False)
class Questions:
    """Texts as token ids, and behind which of them which token is right.

    *Shapes*: ids and targets (L, B) int64; a target is UNASKED where any token will do.
    *Units*: `chance` is the share that guessing gets right: of all answers for MQAR, of whole numbers for the passkey.
    """

    ids: Tensor
    targets: Tensor
    chance: float


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy of what is asked for, in nats an answer.

    *Shapes*: logits (L, B, V), targets (L, B).
    """
    wide = logits.float() if logits.element_size() < 4 else logits
    return F.cross_entropy(wide.flatten(0, -2), targets.flatten(), ignore_index=UNASKED)


@torch.no_grad()
def answer(model: nn.Module, asked: Questions, *, batch_size: int = 32) -> dict[str, float]:
    """The share of right answers, of texts whose answers are all right, how many there were of both, and the loss.

    The likeliest token is the answer, with the right ones before it given; so all of a text's answers are right
    exactly where greedy generation gives them. The model is left in the mode in which it came.

    *Raises*: ConfigError for tokens beyond the model's vocabulary.
    """
    vocabulary, largest = getattr(model, "vocabulary", None), int(asked.ids.max())
    if vocabulary is not None and largest >= vocabulary:
        raise ConfigError(
            f"answer got tokens up to {largest} for a model of {vocabulary}; it takes 0 to {vocabulary - 1}. Ask with "
            "the model's own vocabulary."
        )
    training, device = model.training, next((p.device for p in model.parameters()), torch.device("cpu"))
    model.eval()
    right, whole, nats = 0, 0, 0.0
    try:
        for ids, targets in zip(
            asked.ids.split(batch_size, 1), asked.targets.split(batch_size, 1), strict=True
        ):
            logits = model(ids.to(device)).cpu()
            hit = logits.argmax(-1) == targets
            nats += float(loss(logits, targets)) * int((targets != UNASKED).sum())
            right += int(hit.sum())
            whole += int((hit | (targets == UNASKED)).all(0).sum())
    finally:
        model.train(training)
    answers, samples = int((asked.targets != UNASKED).sum()), asked.ids.shape[1]
    return {
        "accuracy": right / max(1, answers), "all_right": whole / max(1, samples), "answers": answers,
        "samples": samples, "loss": nats / max(1, answers),
    }  # fmt: skip
