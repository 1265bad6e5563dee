"""Batches of random events for the tests of the operations on them."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from hypothesis import strategies as st

from spikedrive.ops.events import EventBatch

COUNTS = [0, 40, 1, 0, 25, 2]


def batch_of(
    counts: list[int], seed: int = 0, *, real: bool = False, margin: int = 0, width: int = 7, height: int = 5
) -> EventBatch:
    """Clips of random events; `margin` microseconds of nothing at the ends of each."""
    rng = np.random.default_rng(seed)
    spans = [int(rng.integers(0, 2000)) for _ in counts]
    parts = [
        np.sort(rng.integers(0, span + 1, n)) + 1000 * b
        for b, (n, span) in enumerate(zip(counts, spans, strict=True))
    ]
    total, dtype = sum(counts), torch.float64 if real else torch.int64
    t = torch.tensor(np.concatenate([np.zeros(0, np.int64), *parts])).to(dtype)
    t = t * 0.37 if real else t
    offsets = torch.tensor(np.cumsum([0, *counts]))
    pairs = [
        (t[a], t[b - 1]) if b > a else (t.new_zeros(()),) * 2 for a, b in itertools.pairwise(offsets.tolist())
    ]
    begin, end = (torch.stack([pair[i] for pair in pairs]) if pairs else t.new_zeros(0) for i in (0, 1))
    x, y, p = (torch.tensor(rng.integers(0, n, total)) for n in (width, height, 2))
    return EventBatch(
        t, x.int(), y.int(), p.to(torch.uint8), offsets, begin - margin, end + margin, width, height
    )  # fmt: skip


batches = st.builds(
    batch_of,
    st.lists(st.integers(0, 30), max_size=5),
    st.integers(0, 999),
    real=st.booleans(),
    margin=st.integers(0, 99),
)


def one_clip(t: list[int], p: list[int], begin: int, end: int) -> EventBatch:
    n, times = len(t), (torch.tensor([begin]), torch.tensor([end]))
    zeros = torch.zeros(n, dtype=torch.int32)
    polarity = torch.tensor(p, dtype=torch.uint8)
    return EventBatch(
        torch.tensor(t, dtype=torch.int64), zeros, zeros, polarity, torch.tensor([0, n]), *times, 1, 1
    )
