"""The weighted key-value scan over tokens: its compiled, chunked form against a Python loop over tokens.

Usage: python benchmarks/token_scan.py [--rounds N] [--threads N]   (writes results/token_scan.csv)

Both compute the same forward and backward pass; the loop is the equation as one writes it in PyTorch, and autograd
gives its gradient.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import results
import torch
from torch import Tensor

from spikedrive.engine.measure.race import Spread, pinned, race, ratio
from spikedrive.ops.wkv import reference, wkv_scan

TOKENS = 1024
SIZES = ((1, 256), (8, 256), (8, 768))
"""Texts and channels."""


def loop(x: Tensor, decay: Tensor, first: Tensor) -> Tensor:
    """The equation, token by token."""
    (p, q, o), outputs = reference.rest(x).unbind(1), []
    for row in x:
        k, v = row.chunk(2, -1)
        n, m = torch.maximum(o, first + k), torch.maximum(decay + o, k)
        a, b, c, d = (o - n).exp(), (first + k - n).exp(), (decay + o - m).exp(), (k - m).exp()
        outputs.append((a * p + b * v) / (a * q + b))
        p, q, o = c * p + d * v, c * q + d, m
    return torch.stack(outputs)


def turn(work: Callable[[Tensor, Tensor, Tensor], Tensor], batch: int, channels: int) -> Callable[[], None]:
    """One forward and backward pass."""
    source = torch.Generator().manual_seed(0)
    x = torch.randn(TOKENS, batch, 2 * channels, generator=source).requires_grad_()
    decay = (-torch.rand(channels, generator=source)).requires_grad_()
    first = torch.randn(channels, generator=source).requires_grad_()
    grad = torch.randn(TOKENS, batch, channels, generator=source)

    def once() -> None:
        torch.autograd.grad(work(x, decay, first), (x, decay, first), grad)

    return once


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    results.refuse_while_red()
    torch.set_num_threads(options.threads)
    rows = []
    for batch, channels in SIZES:
        with pinned(options.threads):
            works = {
                "ours": turn(lambda x, w, u: wkv_scan(x, None, w, u)[0], batch, channels),
                "loop": turn(loop, batch, channels),
            }
            seconds = race(works, options.rounds)
        spread = ratio(seconds["loop"], seconds["ours"])
        rows.append(
            {
                "work": f"{TOKENS} tokens, {batch} texts, {channels} channels, forward and backward",
                "threads": options.threads,
                "ours_ms": round(1e3 * Spread.of(seconds["ours"]).median, 2),
                "loop_ms": round(1e3 * Spread.of(seconds["loop"]).median, 1),
                "ratio": round(spread.median, 2),
                "low": round(spread.low, 2),
                "high": round(spread.high, 2),
            }
        )
        print(rows[-1], flush=True)
    results.write("token_scan", rows)


if __name__ == "__main__":
    main()
