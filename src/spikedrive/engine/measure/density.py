"""Networks whose every neuron is as busy as asked, and how busy those of a program are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikedrive.engine.runtime import Program
from spikedrive.errors import ConfigError
from spikedrive.neurons import Neuron

HALVINGS = 18
"""Of the interval in which a threshold is sought; on a logarithmic scale."""


@torch.no_grad()
def calibrate(
    model: nn.Module, x: Tensor, density: float, *, progress: Callable[[], None] | None = None
) -> dict[str, float]:
    """Set the threshold of every neuron, in the order of the network, so that `density` of its values on x are not 0.

    Gives the density that each reached: at most the one asked for, and as close to it as its potentials allow.

    *Shapes*: x as the model takes it.
    *Raises*: ConfigError for a density outside 0..1, or a neuron without one threshold.
    """
    if not 0 < density < 1:
        raise ConfigError(
            f"A network was asked for the density {density:g}; it is a share between 0 and 1, both excluded. Use 0.15."
        )
    reached: dict[str, float] = {}
    hooks = []
    for path, neuron in model.named_modules():
        if not isinstance(neuron, Neuron):
            continue
        if not isinstance(getattr(neuron, "threshold", None), float):
            raise ConfigError(
                f"The neuron {path} is a {type(neuron).__name__}, which has no threshold that can be set; a density "
                "can be asked of LIF, IF, ILIF and the like. Change the neuron, or measure a trained run."
            )
        hooks.append(neuron.register_forward_pre_hook(_setter(path, density, reached, progress)))
    try:
        model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return reached


def _setter(
    path: str, density: float, reached: dict[str, float], progress: Callable[[], None] | None
) -> Callable[[Neuron, tuple[Tensor, ...]], None]:
    def set_threshold(neuron: Neuron, arguments: tuple[Tensor, ...]) -> None:
        (potential,) = arguments
        low, high = 1e-6, 4 * float(potential.abs().max()) + 1e-3
        for _ in range(HALVINGS):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if _share(neuron, potential, middle) > density else (low, middle)
        reached[path] = _share(neuron, potential, high)
        if progress is not None:
            progress()

    return set_threshold


def _share(neuron: Any, potential: Tensor, threshold: float) -> float:
    neuron.threshold = threshold
    # not neuron(...), which would come back here
    return float((neuron.forward(potential) != 0).double().mean())


def copy_thresholds(source: nn.Module, target: nn.Module) -> None:
    """Give the neurons of `target` the thresholds of those at the same paths of `source`."""
    thresholds = {path: n.threshold for path, n in source.named_modules() if isinstance(n, Neuron)}
    for path, neuron in target.named_modules():
        if isinstance(neuron, Neuron):
            neuron.threshold = thresholds[path]


@dataclass(frozen=True)
class Density:
    """The share of values that are not 0, over all neurons of a program; of the most silent, of the busiest.

    `rate` is the mean value: for binary neurons the same as `mean`.
    """

    mean: float
    low: float
    high: float
    rate: float


def density_of(program: Program, images: np.ndarray, *, threads: int | None = None) -> Density:
    """What the integers of a program's neurons are on these images."""
    neurons = program.run(images, neurons=True, threads=threads).neurons.values()
    if not neurons:
        return Density(math.nan, math.nan, math.nan, math.nan)
    shares = [float((integers != 0).mean()) for integers in neurons]
    size = sum(integers.size for integers in neurons)
    busy = sum(int(np.count_nonzero(integers)) for integers in neurons)
    spikes = sum(int(integers.sum(dtype=np.int64)) for integers in neurons)
    return Density(busy / size, min(shares), max(shares), spikes / size)
