"""Whether a model and its copy with our neurons answer alike."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from spikedrive.interop.libraries.swap import LIBRARIES, as_ours, neurons_of_others


@dataclass(frozen=True)
class Comparison:
    """How many `values` were compared, how many of them differ, and the `largest` difference."""

    values: int
    different: int
    largest: float

    @property
    def equal(self) -> bool:
        """Whether no value differs."""
        return self.different == 0


def compare(
    model: nn.Module, *example: Tensor, draws: int = 4, tolerance: float = 1e-5, most: int | None = None
) -> Comparison:
    """Every output of `model` beside that of `as_ours(model)`, on `example` and on random inputs of its shape.

    Two values differ where they are further apart than `tolerance` times the larger of 1 and their size. The states
    that the neurons of `model` hold are forgotten.

    Raises: ConfigError as `as_ours` does.
    """
    ours = as_ours(model, most=most).eval()
    forget(model)
    theirs = copy.deepcopy(model).eval()
    values, different, largest = 0, 0, 0.0
    for draw in range(draws):
        inputs = example if draw == 0 else tuple(_random(x, draw) for x in example)
        with torch.no_grad():
            forget(theirs)
            answers = zip(_tensors(theirs(*inputs)), _tensors(ours(*inputs)), strict=True)
        for a, b in answers:
            gap = (a.double() - b.double()).abs()
            values += gap.numel()
            different += int((gap > tolerance * a.double().abs().clamp(min=1)).sum())
            largest = max(largest, float(gap.max()) if gap.numel() else 0.0)
    return Comparison(values, different, largest)


def forget(model: nn.Module) -> None:
    """Bring every neuron of another library in `model` to rest."""
    for _, module, library in neurons_of_others(model):
        LIBRARIES[library].forget(module)


def _random(like: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if not like.is_floating_point():
        high = int(like.max()) + 1
        return torch.randint(0, high, like.shape, generator=generator).to(like)
    return (2 * torch.randn(like.shape, generator=generator)).to(like)


def _tensors(answer: object) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(answer) if isinstance(leaf, Tensor)]
