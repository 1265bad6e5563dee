"""Random numbers as one operation: each step has a generator of its own, so that chunks equal the whole."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikedrive.errors import ConfigError

_library = torch.library.Library("spikedrive", "FRAGMENT")
_library.define("noise(Tensor x, Tensor seed, Tensor step, int steps, float deviation) -> (Tensor, Tensor)")


def noise(
    x: Float[Tensor, "B *S"], seed: Int[Tensor, ""], step: Int[Tensor, ""], steps: int, deviation: float = 0.0
) -> tuple[Float[Tensor, "T B *S"], Int[Tensor, ""]]:
    """Random numbers for `steps` steps of an input like `x` from step number `step` on, and the next number.

    Uniform in 0..1, or normal with that `deviation` where it is above zero. They depend on the seed, the step
    and the shape alone, and are drawn on the CPU whatever the device. At least fp32.

    *Shapes*: x (B, ...), seed (), step () -> (steps, B, ...), ().
    """
    return torch.ops.spikedrive.noise(x, seed, step, steps, deviation)


def first_state(seed: int | None) -> tuple[Int[Tensor, ""], Int[Tensor, ""]]:
    """(seed, step 0); without a seed one is drawn from PyTorch's global generator, like a dropout mask."""
    chosen = torch.randint(2**62, ()) if seed is None else torch.tensor(seed)
    return chosen, torch.tensor(0)


def _forward(x: Tensor, seed: Tensor, step: Tensor, steps: int, deviation: float) -> tuple[Tensor, Tensor]:
    draw = torch.randn if deviation > 0 else torch.rand
    first, base, generator = int(step), int(seed), torch.Generator()
    drawn = []
    for t in range(first, first + steps):
        generator.manual_seed(_mixed(_mixed(base) + t))
        drawn.append(draw(x.shape, generator=generator, dtype=_dtype(x)))
    y = torch.stack(drawn).to(x.device)
    return y * deviation if deviation > 0 else y, step + steps


def _mixed(number: int) -> int:
    """The finaliser of SplitMix64: neighbouring numbers lie far apart behind it."""
    z = (number + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def _fake(x: Tensor, seed: Tensor, step: Tensor, steps: int, deviation: float) -> tuple[Tensor, Tensor]:
    return x.new_empty((steps, *x.shape), dtype=_dtype(x)), torch.empty_like(step)


def _dtype(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _refuse_vmap(*_: Any) -> Any:
    raise ConfigError(
        "spikedrive::noise got a tensor mapped by torch.vmap; it takes plain tensors, whose first axis is the batch. "
        "Put the mapped axis into B."
    )


_library.impl("noise", _forward, "CompositeExplicitAutograd")
torch.library.register_fake("spikedrive::noise", _fake, lib=_library)
torch.library.register_vmap("spikedrive::noise", _refuse_vmap, lib=_library)
