"""The heat equation on a map with insulated borders: cosine transform, decay of each frequency, and back."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from spikedrive.errors import ConfigError


def cosines(size: int, like: Tensor) -> Tensor:
    """The orthonormal DCT-II as a matrix; its transpose is the inverse.

    *Equation*: D_nx = s_n cos(pi n (x + 1/2) / size), s_0 = sqrt(1 / size) and s_n = sqrt(2 / size).
    *Shapes*: -> (size, size), frequencies first, of the dtype and device of `like`.
    """
    n = torch.arange(size, dtype=like.dtype, device=like.device)
    matrix = torch.cos(math.pi / size * n[:, None] * (n + 0.5)) * math.sqrt(2 / size)
    # the constant mode has half the energy of a cosine
    size_of = torch.where(n == 0, torch.full_like(n, math.sqrt(0.5)), torch.ones_like(n))
    return matrix * size_of[:, None]


def decays(height: int, width: int, diffusivity: Tensor | float, time: float, like: Tensor) -> Tensor:
    """What is left of each frequency after `time`.

    *Equation*: exp(-k (w_n^2 + w_m^2) t), w_n = pi n / height down the map and w_m = pi m / width along it.
    *Shapes*: diffusivity k one number, or (..., height, width) with one for each frequency -> (..., height, width).
    *Units*: k in squared pixels per unit of time.
    """
    down, along = (
        torch.arange(size, dtype=like.dtype, device=like.device) * (math.pi / size)
        for size in (height, width)
    )
    return torch.exp(-diffusivity * (down[:, None].square() + along.square()) * time)


def conduct(
    x: Float[Tensor, "*S H W"], diffusivity: Float[Tensor, "*K"] | float, *, time: float = 1.0
) -> Float[Tensor, "*S H W"]:
    """The temperatures of a plate after `time`, which were x; no heat passes its borders.

    The solution of du/dt = k (d^2 u / dx^2 + d^2 u / dy^2) with Neumann borders, where k is one number; a k for each
    frequency, or channel, lets each of these spread at a speed of its own.

    *Equation*: y = D_H^T (decays * (D_H x D_W^T)) D_W, with `cosines` D and `decays`.
    *Shapes*: x (..., H, W), diffusivity a number or whatever broadcasts to x -> (..., H, W).
    *Units*: diffusivity in squared pixels per unit of time.
    *Raises*: ConfigError for a negative time.
    *Multiplies*: real numbers by four constant matrices, and once an element by the decay: see `products`. Nothing of
    it is additive, but for the first matrix where x are spikes.
    *Source*: vHeat (arXiv 2405.16555), the heat conduction operator.
    """
    if time < 0:
        raise ConfigError(f"conduct got time={time}; it takes at least 0. Heat cannot be gathered again.")
    height, width = x.shape[-2:]
    down, along = cosines(height, x), cosines(width, x)
    kept = decays(height, width, diffusivity, time, x)
    # one matrix product over all rows is faster than one a map
    spectrum = F.linear(F.linear(x, along).transpose(-1, -2), down) * kept.transpose(-1, -2)
    return F.linear(F.linear(spectrum, down.T).transpose(-1, -2), along.T)


def products(channels: int, height: int, width: int) -> int:
    """How many multiplications `conduct` makes for one map: those by its four fixed matrices, and by the decays.

    *Equation*: C H W (2 H + 2 W + 1).

    >>> products(1, 2, 3)
    66
    """
    return channels * height * width * (2 * height + 2 * width + 1)
