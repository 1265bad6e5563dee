"""Random streams that are addressed, not passed on."""

from __future__ import annotations

import hashlib

import torch


def generator(seed: int, *where: int) -> torch.Generator:
    """A CPU generator for one place: the same (seed, where) always gives the same stream.

    A batch that is addressed by (seed, epoch, batch) needs no state of earlier batches, so a
    resumed run draws what an unbroken one would have drawn.

    >>> a, b, c = (torch.rand(2, generator=generator(*at)) for at in [(7, 1), (7, 1), (7, 2)])
    >>> bool((a == b).all()), bool((a == c).any())
    (True, False)
    """
    # a hash keeps (4, 5), (5, 4) and (4, 5, 0) apart, which sums and NumPy's SeedSequence do not
    address = hashlib.blake2b(repr((seed, *where)).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(address) >> 1)
