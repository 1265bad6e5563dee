"""One pass of calibration data through both networks at once: ceilings, corrections, and what the steps cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from spikedrive.training.conversion.ceilings import Method, choose_ceiling
from spikedrive.training.conversion.operations import Operation, Weighted
from spikedrive.training.conversion.results import LayerError, StepsCost

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done, and how much there is."""


@dataclass(frozen=True)
class Place:
    """Where a neuron stands: on what an activation reads, or between a current and the layer that reads it."""

    source: str
    name: str
    path: str
    what: str
    signed: bool
    top: float


@dataclass
class Calibration:
    """What one pass found for one number of steps."""

    ceilings: dict[str, float] = field(default_factory=dict)
    corrections: dict[str, Tensor] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    layers: list[LayerError] = field(default_factory=list)
    cost: StepsCost | None = None


def find_places(operations: Sequence[Operation]) -> list[Place]:
    """One neuron for each activation, and one for each value that is no spikes where a layer with weights reads it.

    The layers that read the network's own input have none: they are the analog ones.
    """
    spikes, places = {"input"}, {}
    for operation in operations:
        if operation.kind == "activation":
            places[operation.name] = Place(
                operation.inputs[0], operation.name, operation.path, operation.what, False, operation.top
            )
            spikes.add(operation.name)
        elif operation.kind == "weighted" and operation.inputs[0] not in spikes:
            source, name = operation.inputs[0], f"{operation.inputs[0]}_spikes"
            places.setdefault(name, Place(source, name, operation.path, "current", True, math.inf))
        elif operation.kind == "linear" and not operation.reason and spikes.issuperset(operation.inputs):
            # a sum, a mean or another order of spikes is made of additions
            spikes.add(operation.name)
    return list(places.values())


@torch.no_grad()
def calibrate(
    operations: Sequence[Operation],
    images: Tensor,
    *,
    steps: int,
    method: Method,
    percentile: float,
    correct: bool,
    mask: float = 0.0,
    progress: Progress | None = None,
) -> Calibration:
    """Ceilings and corrections for T = `steps`, and what the rounding to T levels costs on these images.

    Both networks run side by side, an operation at a time, so that each neuron is fitted to what really reaches it: the
    ceiling to the artificial network's values, the correction of the layer in front to the mean difference that is left
    in each channel.

    *Shapes*: images (B, ...).
    *Source*: the correction is the bias shift of "A free lunch from ANN" (Li et al., ICML 2021), light pipeline.
    """
    found = Calibration()
    by_source: dict[str, list[Place]] = {}
    for place in find_places(operations):
        by_source.setdefault(place.source, []).append(place)
    users = {name: sum(name in other.inputs for other in operations) for name in (o.name for o in operations)}
    named = {operation.name: operation for operation in operations}
    last = {source: operation.name for operation in operations for source in operation.inputs}
    exact, spiking = {"input": images}, {"input": images}

    def fit(source: str) -> None:
        for place in by_source.get(source, ()):
            _fit(place, found, exact, spiking, named, users,
                 steps=steps, method=method, percentile=percentile, correct=correct, mask=mask)  # fmt: skip

    fit("input")
    for number, operation in enumerate(operations):
        exact[operation.name] = operation.module(*(exact[name] for name in operation.inputs))
        # what a neuron emits was found when its input was there
        if operation.kind != "activation":
            read = [spiking.get(f"{name}_spikes", spiking[name]) if operation.kind == "weighted" else spiking[name]
                    for name in operation.inputs]  # fmt: skip
            spiking[operation.name] = operation.module(*read)
        found.shapes[operation.name] = tuple(exact[operation.name].shape[1:])
        fit(operation.name)
        for source in {s for s in operation.inputs if last[s] == operation.name}:
            for values in (exact, spiking):
                values.pop(source, None)
                values.pop(f"{source}_spikes", None)
        if progress is not None:
            progress(f"calibrate for T = {steps}", number + 1, len(operations))
    output = operations[-1].name
    found.cost = steps_cost(steps, exact[output], spiking[output])
    return found


def _fit(place: Place, found: Calibration, exact: dict[str, Tensor], spiking: dict[str, Tensor],
         named: dict[str, Operation], users: dict[str, int], *, steps: int, method: Method, percentile: float,
         correct: bool, mask: float) -> None:  # fmt: skip
    wanted = exact[place.source]
    ceiling = choose_ceiling(
        wanted, method=method, levels=steps, percentile=percentile, top=place.top, signed=place.signed
    )
    low = -steps if place.signed else 0
    target = wanted if place.signed else wanted.clamp(0, place.top)

    def emit(x: Tensor) -> Tensor:
        y = (x * (steps / ceiling) + 0.5).floor().clamp(low, steps) * (ceiling / steps)
        return y * (1 - mask)

    x = spiking[place.source]
    producer = _producer(place.source, named, users) if correct else None
    if producer is not None:
        module = named[producer].module
        assert isinstance(module, Weighted)
        axis = module.channel_axis % x.dim()
        others = [i for i in range(x.dim()) if i != axis]
        shape = [-1 if i == axis else 1 for i in range(x.dim())]
        shift = (target - emit(x)).mean(others)
        x = spiking[place.source] = x + shift.view(shape)
        found.corrections[producer] = found.corrections.get(producer, 0) + shift
    y = spiking[place.name] = emit(x)
    found.ceilings[place.name] = ceiling
    error = float((y - target).norm() / target.norm().clamp(min=1e-12))
    found.layers.append(LayerError(place.name, place.path, steps, error))


def _producer(source: str, named: dict[str, Operation], users: dict[str, int]) -> str | None:
    """The layer whose bias shifts what this neuron reads; None where there is none."""
    operation = named.get(source)
    while operation is not None and operation.kind != "weighted":
        if operation.what != "add" or getattr(operation.module, "kwargs", {}):
            return None
        # behind a sum, a value that others read too must stay as it is
        own = [named[name] for name in operation.inputs if name in named and users[name] == 1]
        operation = next((each for each in own if each.kind == "weighted" or each.what == "add"), None)
    return None if operation is None else operation.name


def steps_cost(steps: int, exact: Tensor, spiking: Tensor) -> StepsCost:
    """What T steps cost on these answers (B, K)."""
    truth = exact.argmax(-1)
    loss = float(F.cross_entropy(spiking, truth) - F.cross_entropy(exact, truth))
    agreement = float((spiking.argmax(-1) == truth).to(torch.float64).mean())
    error = float((spiking - exact).norm() / exact.norm().clamp(min=1e-12))
    return StepsCost(steps, len(exact), agreement, loss, error)
