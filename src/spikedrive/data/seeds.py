"""Random streams that are addressed, not passed on."""

from __future__ import annotations

import numpy as np
import torch


def generator(seed: int, *where: int) -> torch.Generator:
    """A CPU generator for one place: the same (seed, where) always gives the same stream.

    A batch that is addressed by (seed, epoch, batch) needs no state of earlier batches, so a
    resumed run draws what an unbroken one would have drawn.

    >>> a, b, c = (torch.rand(2, generator=generator(*at)) for at in [(7, 1), (7, 1), (7, 2)])
    >>> bool((a == b).all()), bool((a == c).any())
    (True, False)
    """
    # SeedSequence keeps neighbouring addresses apart, which seed + epoch would not
    words = np.random.SeedSequence([seed % 2**64, *(w % 2**64 for w in where)]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0]) % 2**63)
