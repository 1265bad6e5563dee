"""Each variant of each registered neuron as a fixture, with inputs that it takes and what it exports to."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from variants import CASES, SHAPES, Calls, make

from spikedrive.neurons import Neuron


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def case(request) -> tuple[str, int]:
    return request.param


@pytest.fixture
def neuron(case) -> Neuron:
    """In eval mode, where a normalisation inside takes what it has learned."""
    return make(*case).eval()


@pytest.fixture
def fit(neuron) -> Callable[..., tuple[int, ...]]:
    """`fit(T, B, *S)`: the nearest shape that the neuron takes."""
    steps, bound = getattr(neuron, "steps", None), SHAPES.get(type(neuron).__name__)
    return lambda t, b, *s: (steps or t, b, *(s if bound is None else bound))


@pytest.fixture
def exported(case, neuron, fit) -> tuple[Tensor, torch.export.ExportedProgram]:
    """An input, and the neuron exported in eval mode for any batch."""
    return _export(*case, fit(2, 3, 6))


@pytest.fixture
def called(neuron, fit) -> tuple[torch._ops.OpOverload, tuple[Any, ...]]:
    """The neuron's operation and the arguments it gets while training."""
    with Calls() as calls:
        neuron(torch.randn(fit(2, 2, 3), requires_grad=True))
    (only,) = calls.seen
    return only


@cache
def _export(name: str, i: int, shape: tuple[int, ...]) -> tuple[Tensor, torch.export.ExportedProgram]:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        program = torch.export.export(
            nn.Sequential(make(name, i).eval()), (x,), dynamic_shapes=({1: torch.export.Dim("batch")},)
        )
    return x, program
