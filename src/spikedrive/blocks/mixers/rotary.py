"""Rotary positions whose base grows with the text (NTK), and their training for texts longer than those seen."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from spikedrive.errors import ConfigError, unknown_name
from spikedrive.neurons.neuron import check_count, check_number

Rope = Literal["plain", "ntk", "crd_ntk"]


class Places(NamedTuple):
    """Where tokens stand, (S,) int64, and how often the base has grown at them: (first token, octave), in order."""

    positions: Tensor
    octaves: tuple[tuple[int, int], ...]


class Rotary(nn.Module):
    """Turns queries and keys by their positions, so that a product of the two knows their distance.

    *Equation*: pair i of the D channels of a head turns by p theta_i at position p, theta_i = b^(-2i/D). "plain": b is
    `base`. "ntk" and "crd_ntk": at token t (from 0) b = base 2^(e D/(D-2)), where e = 0 for t below `trained` = P, 1
    below 2 P, 2 below 4 P and so on; the slowest pair then turns at the end of each octave as far as in training.
    "crd_ntk" in training mode: e is drawn from 0 to that of `longest`, n = min(2^e P, longest), and the positions are
    0 to n - 1, truncated to the L of the text: a stretch is left out whose length, 0 to n - L, and place are drawn.
    *Shapes*: x (..., S, D) with positions (..., S) and frequencies (..., S or 1, D / 2) -> (..., S, D).
    *Units*: positions, `trained` and `longest` in tokens; angles in radians.
    *Multiplies*: everything.
    *Raises*: ConfigError for an odd number of channels, below 4 where the base grows, or numbers out of range;
    UnknownNameError for another kind.
    *Source*: rotary positions (arXiv 2104.09864); the NTK-aware base, n/P to the power D/(D-2), as public code has it;
    "Correlation-Aware Select and Merge Attention" (arXiv 2410.04211), whose abstract names the three parts (cyclic,
    randomly truncated, dynamically growing) and calls them an augmentation of positions.
    *Where we differ*: no formula of that paper stands in its abstract and no code was released, so these are ours. The
    base grows by octaves with the tokens so far and never with those to come, so that a text in parts equals the
    whole. One turn of the cycle through the lengths is drawn instead of counted, so that a step depends on its seed
    alone; every layer draws its own.

    >>> Rotary(8, kind="ntk", trained=4).places(10).octaves
    ((0, 0), (4, 1), (8, 2))
    """

    def __init__(
        self, width: int, *, kind: Rope, trained: int = 256, longest: int | None = None, base: float = 10_000.0
    ) -> None:  # fmt: skip
        super().__init__()
        if kind not in get_args(Rope):
            raise unknown_name("kind of rotary positions", str(kind), get_args(Rope))
        check_count("Rotary", "trained", trained)
        longest = 8 * trained if longest is None else longest
        check_number("Rotary", "longest", longest, low=trained)
        check_number("Rotary", "base", base, above=0)
        least = 2 if kind == "plain" else 4
        if width < least or width % 2:
            raise ConfigError(
                f"Rotary got {width} channels a head; it takes an even number of at least {least}. Use fewer heads."
            )
        self.width, self.kind, self.trained, self.longest, self.base = width, kind, trained, longest, base

    def octave(self, token: int) -> int:
        """How often the base has grown at this token."""
        return 0 if self.kind == "plain" else (token // self.trained).bit_length()

    def places(self, count: int, *, begins: bool = False, device: torch.device | None = None) -> Places:
        """Those of a text of `count` tokens so far; in training, where it begins here, drawn ones."""
        tokens, last = torch.arange(count, device=device), self.octave(count - 1)
        if self.training and begins and self.kind == "crd_ntk":
            octave = _draw(last, max(last, self.octave(self.longest - 1)))
            gap = _draw(0, max(0, min(self.trained << octave, self.longest) - count))
            return Places(tokens + gap * (tokens >= _draw(0, count)), ((0, octave),))
        return Places(tokens, ((0, 0), *((self.trained << (e - 1), e) for e in range(1, last + 1))))

    def frequencies(self, octaves: Tensor | int, like: Tensor) -> Tensor:
        """theta, (..., D / 2), of octaves (...), as `like` is."""
        dtype = torch.promote_types(like.dtype, torch.float32)
        share = torch.arange(0, self.width, 2, device=like.device, dtype=dtype) / self.width
        growth = 0.0 if self.kind == "plain" else self.width / (self.width - 2)
        return self.base**-share * 2 ** (
            -growth * share * (octaves[..., None] if isinstance(octaves, Tensor) else octaves)
        )

    def forward(self, x: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
        """x turned."""
        angles = positions[..., None] * frequencies
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        a, b = x.chunk(2, -1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


def make_rotary(rope: Rope | None, width: int, *, trained: int, longest: int | None) -> Rotary | None:
    """The positions that a mixer is asked for; None for none."""
    return None if rope is None else Rotary(width, kind=rope, trained=trained, longest=longest)


def _draw(low: int, high: int) -> int:
    """A whole number from low to high."""
    return int(torch.randint(low, high + 1, ()))
