"""Random small networks: a list of operations, each on what an earlier one made."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

from auditing.nets import Fire, sharpened
from spikedrive.neurons import IF, ILIF, LIF
from spikedrive.ops.domain import Binary, Domain, Integer

SHAPE = (4, 4, 4)
"""Channels, height and width of spikes, integers and real numbers that go in."""

DOMAINS: tuple[Domain | None, ...] = (Binary(), Integer(3), None)

Layers = nn.ModuleDict

ALONE: dict[str, Callable[[Tensor, Layers, int], Tensor]] = {}
PAIRS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {}
"""What a network may do to one value, and to two; the number says which of several."""


def inputs_of(batch: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes, integers and real numbers."""
    made = torch.Generator().manual_seed(seed)
    shape = (batch, *SHAPE)
    return (
        torch.randint(0, 2, shape, generator=made).float(),
        torch.randint(0, 4, shape, generator=made).float(),
        torch.randn(shape, generator=made),
    )


def layers() -> Layers:
    """One of each kind that the operations share."""

    def conv(size: int, **options: Any) -> nn.Conv2d:
        return nn.Conv2d(4, 4, size, padding=size // 2, bias=False, **options)

    made = {
        "pointwise": conv(1), "conv": conv(3), "biased": nn.Conv2d(4, 4, 1), "depthwise": conv(3, groups=4),
        "grouped": conv(1, groups=2), "signs": conv(1), "shifts": conv(1), "channels": nn.Linear(4, 4, bias=False),
        "one": sharpened(nn.BatchNorm2d(4)), "two": sharpened(nn.BatchNorm2d(4)), "spike": Fire(IF(0.7)),
        "levels": Fire(ILIF(3)), "scaled": Fire(ILIF(2, scale=1 / 3)), "leaky": Fire(LIF(0.5)),
    }  # fmt: skip
    with torch.no_grad():
        for name, change in (("signs", torch.sign), ("shifts", lambda w: w.sign() * 2.0 ** (8 * w).round())):
            made[name].weight.copy_(change(made[name].weight))  # type: ignore[operator, union-attr]
    return nn.ModuleDict(made)


def alone(function: Callable[[Tensor, Layers, int], Tensor]) -> Callable[[Tensor, Layers, int], Tensor]:
    ALONE[function.__name__] = function
    return function


def pair(function: Callable[[Tensor, Tensor, int], Tensor]) -> Callable[[Tensor, Tensor, int], Tensor]:
    PAIRS[function.__name__] = function
    return function


WEIGHTS = ("pointwise", "conv", "biased", "depthwise", "grouped", "signs", "shifts")
NEURONS = ("spike", "levels", "scaled", "leaky")
SCALES = (0.5, 0.3, -2.0, 1 / 3)
STEPS = (1.0, 0.5, -1.0, 0.3)


@alone
def weigh(x: Tensor, of: Layers, n: int) -> Tensor:
    return of[WEIGHTS[n % len(WEIGHTS)]](x)


@alone
def mix_columns(x: Tensor, of: Layers, n: int) -> Tensor:
    return of["channels"](x.transpose(1, 3)).transpose(1, 3)


@alone
def normalise(x: Tensor, of: Layers, n: int) -> Tensor:
    return of["one" if n % 2 else "two"](x)


@alone
def fire(x: Tensor, of: Layers, n: int) -> Tensor:
    return of[NEURONS[n % len(NEURONS)]](x)


@alone
def scale(x: Tensor, of: Layers, n: int) -> Tensor:
    return x * SCALES[n % 4]


@alone
def scale_channels(x: Tensor, of: Layers, n: int) -> Tensor:
    return x * torch.tensor([0.3, -0.5, 1.0, 2.0]).roll(n % 4)[:, None, None]


@alone
def scale_places(x: Tensor, of: Layers, n: int) -> Tensor:
    return x * torch.tensor([1.0, 0.0, 0.5, -1.0] if n % 2 else [0.3, 0.6, 0.7, 1.0])


@alone
def step(x: Tensor, of: Layers, n: int) -> Tensor:
    return x + STEPS[n % 4]


@alone
def limit(x: Tensor, of: Layers, n: int) -> Tensor:
    return x.clamp(*((0, 2), (-1, 1), (1, 5), (-0.5, 1.5))[n % 4])


@alone
def whole(x: Tensor, of: Layers, n: int) -> Tensor:
    return (torch.round, torch.floor, torch.ceil, torch.trunc)[n % 4](x.clamp(-2, 3))


@alone
def threshold(x: Tensor, of: Layers, n: int) -> Tensor:
    return (x > STEPS[n % 4]).to(x.dtype)


@pair
def select(x: Tensor, y: Tensor, n: int) -> Tensor:
    return torch.where(x > STEPS[n % 4], x, y)


@pair
def select_constants(x: Tensor, y: Tensor, n: int) -> Tensor:
    return torch.where(x > y, SCALES[n % 4], STEPS[n // 4 % 4]).to(x.dtype)


@pair
def write_channel(x: Tensor, y: Tensor, n: int) -> Tensor:
    x = x.clone()
    x[:, n % 4] = y[:, (n + 1) % 4]
    return x


@pair
def multiply_channel(x: Tensor, y: Tensor, n: int) -> Tensor:
    x = x.clone()
    x[:, n % 4].mul_(y[:, n % 4])
    return x


@alone
def write_constant(x: Tensor, of: Layers, n: int) -> Tensor:
    x = x.clone()
    x[:, :, n % 4] = SCALES[n % 4]
    return x


@pair
def join(x: Tensor, y: Tensor, n: int) -> Tensor:
    return torch.cat([x, y], 1)[:, n % 4 : n % 4 + 4]


@pair
def interleave(x: Tensor, y: Tensor, n: int) -> Tensor:
    return torch.stack([x, y], 2).flatten(1, 2)[:, :: 1 + n % 2][:, :4]


@alone
def shuffle(x: Tensor, of: Layers, n: int) -> Tensor:
    return x.unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2)


@alone
def take(x: Tensor, of: Layers, n: int) -> Tensor:
    return x[:, torch.tensor([3, 0, 0, 1]).roll(n % 4)]


@alone
def pool(x: Tensor, of: Layers, n: int) -> Tensor:
    return (F.avg_pool2d, F.max_pool2d)[n % 2](x, 3, 1, 1)


@alone
def pool_and_repeat(x: Tensor, of: Layers, n: int) -> Tensor:
    return F.interpolate((F.avg_pool2d, F.max_pool2d)[n % 2](x, 2), scale_factor=2.0)


@alone
def subtract_mean(x: Tensor, of: Layers, n: int) -> Tensor:
    return x - x.mean((1, 2, 3)[n % 3], keepdim=True)


@pair
def gate_by_sum(x: Tensor, y: Tensor, n: int) -> Tensor:
    return x * y.sum((1, 2, 3)[n % 3], keepdim=True)


@pair
def add_scaled(x: Tensor, y: Tensor, n: int) -> Tensor:
    return torch.add(x, y, alpha=SCALES[n % 4])


@alone
def function(x: Tensor, of: Layers, n: int) -> Tensor:
    return (torch.sigmoid, torch.exp, F.gelu, torch.tanh)[n % 4](x.clamp(-4, 4))


@alone
def running_sum(x: Tensor, of: Layers, n: int) -> Tensor:
    return x.cumsum(1 + n % 3)


@alone
def integer_cast(x: Tensor, of: Layers, n: int) -> Tensor:
    return x.clamp(-3, 3).to((torch.int8, torch.int32)[n % 2]).to(x.dtype)


PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu, "negate": torch.neg, "size": torch.abs, "sign": torch.sign, "square": torch.square,
    "flip": lambda x: x.flip(2), "turn": lambda x: x.transpose(2, 3), "truth": lambda x: x.bool().to(x.dtype),
    "inverted": lambda x: 1 - x, "largest": lambda x: x.amax(1, keepdim=True).expand_as(x),
}  # fmt: skip
PLAIN_PAIRS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add, "subtract": torch.sub, "multiply": torch.mul, "maximum": torch.maximum,
    "matrices": torch.matmul, "similarity": lambda x, y: x @ y.transpose(2, 3),
    "add_in_place": lambda x, y: x.clone().add_(y), "fill": lambda x, y: x.masked_fill(y > 0, 0.5),
}  # fmt: skip

Program = list[tuple[str, int, int, int]]


class Random(nn.Module):
    """The operations of `program` in turn, as far as the last two results need them; these go out."""

    def __init__(self, program: Program, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.program, self.layers = program, layers()

    def forward(self, spikes: Tensor, integers: Tensor, reals: Tensor) -> tuple[Tensor, ...]:
        made: dict[int, Tensor] = {0: reals, 1: spikes, 2: integers}

        def value(at: int) -> Tensor:
            if at not in made:
                name, i, j, n = self.program[at - 3]
                # counted from the last, so that what was made is often used
                x = value(max(0, at - 1 - i))
                y = value(max(0, at - 1 - j)) if name in PAIRS or name in PLAIN_PAIRS else x
                made[at] = _done(name, x, y, self.layers, n)
            return made[at]

        last = len(self.program) + 2
        return value(last - 1), value(last)


def _done(name: str, x: Tensor, y: Tensor, of: Layers, n: int) -> Tensor:
    if name in PLAIN:
        return PLAIN[name](x)
    if name in ALONE:
        return ALONE[name](x, of, n)
    return PLAIN_PAIRS[name](x, y) if name in PLAIN_PAIRS else PAIRS[name](x, y, n)


@functools.cache
def programs(longest: int) -> st.SearchStrategy[Program]:
    """Lists of operations, each with the places of two operands and a number."""
    place = st.integers(0, 3)
    names = sorted({*PLAIN, *ALONE, *PLAIN_PAIRS, *PAIRS})
    return st.lists(
        st.tuples(st.sampled_from(names), place, place, st.integers(0, 15)), min_size=1, max_size=longest
    )
