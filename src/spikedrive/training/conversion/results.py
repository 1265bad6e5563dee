"""What a conversion found: the network, each layer's error, what stayed as it was, and what T steps cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spikedrive.training.conversion.network import ConvertedNetwork


@dataclass(frozen=True)
class LayerError:
    """How far a neuron's mean output is from the artificial activation.

    *Units*: `error` is the norm of the difference over the norm of the activation, all errors before it included.
    """

    name: str
    path: str
    """The module of the artificial network; "" for an operation of its own forward."""
    steps: int
    error: float


@dataclass(frozen=True)
class StepsCost:
    """What T steps cost against the artificial network on the same samples.

    *Units*: `agreement` is the share of equal top-1 answers; `loss` the rise in cross-entropy against the artificial
    network's answers in nats; `error` the norm of the difference of the logits over the logits' norm.
    """

    steps: int
    samples: int
    agreement: float
    loss: float
    error: float


@dataclass(frozen=True)
class Left:
    """An operation that was not converted."""

    name: str
    path: str
    operation: str
    reason: str


@dataclass(frozen=True)
class Conversion:
    """A converted network with what is known of it.

    `ceilings` are by neuron; `layers` holds each neuron's error for each number of steps, `predicted` the whole
    network's, both on the calibration data and as rounding to T levels gives them; `left` what was not converted.
    """

    model: ConvertedNetwork
    ceilings: dict[str, float]
    layers: tuple[LayerError, ...]
    predicted: tuple[StepsCost, ...]
    left: tuple[Left, ...]

    def __str__(self) -> str:
        """The tables: cost by T, error by layer and T, and what is left."""
        steps = sorted({cost.steps for cost in self.predicted})
        lines = ["T      agreement  loss     error of the logits"]
        lines += [
            f"{cost.steps:<6} {cost.agreement:<10.1%} {cost.loss:<8.4f} {cost.error:.2%}"
            for cost in sorted(self.predicted, key=lambda cost: cost.steps)
        ]
        by_layer = {(layer.name, layer.steps): layer.error for layer in self.layers}
        width = max((len(_label(name, self.layers)) for name in self.ceilings), default=5) + 2
        lines += ["", "layer".ljust(width) + "ceiling  " + "  ".join(f"T={t}".ljust(7) for t in steps)]
        lines += [
            _label(name, self.layers).ljust(width) + f"{ceiling:<9.4g}"
            + "  ".join(f"{by_layer[name, t]:<7.2%}" for t in steps)
            for name, ceiling in self.ceilings.items()
        ]  # fmt: skip
        lines += ["", f"not converted: {len(self.left) or 'nothing'}"]
        lines += [f"  {left.operation} in {left.path or 'the forward'}: {left.reason}" for left in self.left]
        return "\n".join(line.rstrip() for line in lines)


def _label(name: str, layers: Sequence[LayerError]) -> str:
    path = next((layer.path for layer in layers if layer.name == name), "")
    return f"{name} ({path})" if path else name
