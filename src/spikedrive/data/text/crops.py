"""The sequences that a model learns from and is judged on: pure functions of their place."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from spikedrive.data.seeds import generator
from spikedrive.data.text.tokens import TokenSet
from spikedrive.errors import ConfigError, DataError


class TokenCrops:
    """Random crops of L + 1 tokens: the first L go in, the last L are what should come out.

    *Shapes*: a batch is (ids, targets), each (L, B) int64.
    *Raises*: ConfigError for a context or batch below 1; DataError where the text is shorter than one crop.
    """

    def __init__(self, tokens: TokenSet, *, context: int, batch: int, seed: int = 0) -> None:
        if context < 1 or batch < 1:
            raise ConfigError(
                f"TokenCrops got context={context}, batch={batch}; both are whole numbers of at least 1. Correct them."
            )
        if len(tokens) <= context:
            raise DataError(
                f"There are {len(tokens)} tokens, and a crop takes {context + 1}; the text must be longer. Add text or "
                f"set context={max(1, len(tokens) - 1)} or less."
            )
        self._tokens, self._context, self._batch, self._seed = tokens.tokens, context, batch, seed

    def __call__(self, epoch: int, step: int, rank: int = 0, world: int = 1) -> tuple[Tensor, Tensor]:
        """This process's share of the batch of a step; a resumed run gets what an unbroken one got."""
        source = generator(self._seed, epoch, step)
        starts = torch.randint(len(self._tokens) - self._context, (self._batch,), generator=source)
        return _sequences(self._tokens, starts.tensor_split(world)[rank].tolist(), self._context)


def windows(
    tokens: TokenSet, *, context: int, batch: int, rank: int = 0, world: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """All tokens but the first as targets, once each but for those of a last, shorter window.

    *Shapes*: (ids, targets), each (L, b) int64, b <= batch.
    *Raises*: DataError where the text is shorter than one window.
    """
    starts = list(range(0, len(tokens) - context, context))[rank::world]
    if len(tokens) <= context:
        raise DataError(
            f"There are {len(tokens)} tokens, and a window takes {context + 1}; the text must be longer. Add text or "
            "take a smaller context."
        )
    for first in range(0, len(starts), batch):
        yield _sequences(tokens.tokens, starts[first : first + batch], context)


def _sequences(tokens: np.ndarray, starts: list[int], context: int) -> tuple[Tensor, Tensor]:
    if not starts:
        empty = torch.empty(context, 0, dtype=torch.int64)
        return empty, empty
    rows = np.stack([tokens[i : i + context + 1] for i in starts], 1).astype(np.int64)
    whole = torch.from_numpy(rows)
    return whole[:-1], whole[1:]
