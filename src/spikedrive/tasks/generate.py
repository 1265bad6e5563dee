"""One token after another: how the next one is drawn, and the loop that feeds it back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spikedrive.errors import ConfigError, DataError

Step = Callable[[Sequence[int]], Tensor]
"""From tokens that follow those before them to the logits (V,) behind the last."""


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn from logits.

    *Equation*: the logits divided by `temperature`; of these the `top_k` largest (0: all), and of these the fewest
    whose probabilities add up to `top_p`. A temperature of 0 takes the largest, and draws nothing.
    *Raises*: ConfigError for numbers out of range.
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, fits, accepted in (
            ("temperature", 0 <= self.temperature < float("inf"), "0 or more"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
        ):
            if not fits:
                raise ConfigError(
                    f"Sampling got {name}={getattr(self, name)}; it takes a number of {accepted}. Change {name}."
                )


def draw(logits: Tensor, sampling: Sampling, source: torch.Generator) -> int:
    """One token.

    *Shapes*: logits (V,).

    >>> draw(torch.tensor([0.0, 2.0, 1.0]), Sampling(temperature=0), torch.Generator())
    1
    """
    if sampling.temperature == 0:
        return int(logits.argmax())
    values, ids = (logits.double() / sampling.temperature).sort(descending=True, stable=True)
    kept = len(values) if sampling.top_k == 0 else min(sampling.top_k, len(values))
    shares = values[:kept].softmax(0)
    # the first token always stays: nothing comes before it
    shares = shares * (shares.cumsum(0) - shares < sampling.top_p)
    return int(ids[torch.multinomial(shares, 1, generator=source)])


def check_prompt(prompt: Sequence[int]) -> None:
    """Raise DataError unless there is a token to begin with."""
    if not len(prompt):
        raise DataError(
            "generate got an empty prompt; it takes at least one token to begin with. Write a prompt, for example one "
            "line end."
        )


def generate(step: Step, prompt: Sequence[int], *, tokens: int, sampling: Sampling) -> Iterator[int]:
    """`tokens` tokens that continue `prompt`, each as soon as it is drawn.

    *Raises*: DataError for an empty prompt.
    """
    check_prompt(prompt)
    source = torch.Generator().manual_seed(sampling.seed)
    given = list(prompt)
    for _ in range(tokens):
        given = [draw(step(given), sampling, source)]
        yield given[0]
